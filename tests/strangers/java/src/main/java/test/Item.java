package test;

import java.io.Serializable;
import java.util.Objects;

/** As the starter's encodings need it: serializable, a constructor without arguments, getters and setters. */
public class Item implements Serializable {
    private int id;
    private String name;

    public Item() {
    }

    public Item(int id, String name) {
        this.id = id;
        this.name = name;
    }

    public int getId() {
        return id;
    }

    public void setId(int id) {
        this.id = id;
    }

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Item item && item.id == id && Objects.equals(item.name, name);
    }

    @Override
    public int hashCode() {
        return Objects.hash(id, name);
    }

    @Override
    public String toString() {
        return "Item(" + id + ", " + name + ")";
    }
}
