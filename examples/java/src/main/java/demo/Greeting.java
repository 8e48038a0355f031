package demo;

/** A greeting, and who sent it. JSON wants a constructor without arguments and getters; other encodings Serializable too. */
public class Greeting implements java.io.Serializable {
    private String text;
    private String by;

    public Greeting() {
    }

    public Greeting(String text, String by) {
        this.text = text;
        this.by = by;
    }

    public String getText() {
        return text;
    }

    public String getBy() {
        return by;
    }
}
