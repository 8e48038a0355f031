package test;

import com.alibaba.rsocket.metadata.RSocketMimeType;
import io.rsocket.RSocketErrorException;

/** Asks who serves <code>test.Who</code>, once for each line. */
class Asking {
    private final Link link;

    Asking(Link link) {
        this.link = link;
    }

    /** The answer or the error, on one line; the words are options of the starter's builder of clients. */
    String ask(String words) {
        var client = link.client(Who.class, RSocketMimeType.Json);
        for (var word : words.split(" ")) {
            var option = word.split("=", 2);
            switch (option[0]) {
                case "who" -> {
                }
                case "endpoint" -> client.endpoint(option[1]);
                case "sticky" -> client.sticky(true);
                case "group" -> client.group(option[1]);
                case "version" -> client.version(option[1]);
                default -> throw new IllegalArgumentException(word);
            }
        }
        try {
            return client.build().who().block(Link.SOON);
        } catch (RuntimeException thrown) {
            var error = thrown instanceof RSocketErrorException || thrown.getCause() == null ? thrown : thrown.getCause();
            var code = error instanceof RSocketErrorException answer ? "0x" + Integer.toHexString(answer.errorCode()) : "none";
            return "error " + code + " " + error.getClass().getSimpleName() + ": " + error.getMessage();
        }
    }
}
