package test;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.cbor.databind.CBORMapper;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.rsocket.Payload;
import io.rsocket.RSocket;
import io.rsocket.core.RSocketConnector;
import io.rsocket.exceptions.ApplicationErrorException;
import io.rsocket.metadata.CompositeMetadataCodec;
import io.rsocket.metadata.TaggingMetadataCodec;
import io.rsocket.metadata.WellKnownMimeType;
import io.rsocket.transport.netty.client.TcpClientTransport;
import io.rsocket.util.DefaultPayload;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.URI;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Sinks;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Durable topics, see docs/topics.md, by rsocket-java as it is; what a message holds is JSON with an <code>id</code>.
 * Behind the address of the broker, <code>tcp://127.0.0.1:9999</code>, comes one of
 * <pre>
 * create orders {"maxMessageBytes":1024}
 * publish orders {"id":1}
 * publish-bytes orders text
 * publish-many orders                      (lines of JSON come in)
 * consume orders billing 100 [id that cannot be handled]
 * dead-letters orders billing
 * redrive orders billing
 * </pre>
 */
public class Topics {
    /** What the broker may send before it is read. */
    private static final int AHEAD = 64;
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectMapper CBOR = new CBORMapper();

    private final RSocket broker;

    Topics(URI address) {
        broker = RSocketConnector.create()
                .metadataMimeType(WellKnownMimeType.MESSAGE_RSOCKET_COMPOSITE_METADATA.getString())
                .dataMimeType(WellKnownMimeType.APPLICATION_JSON.getString())
                .connect(TcpClientTransport.create(address.getHost(), address.getPort())).block();
    }

    public static void main(String[] arguments) throws Exception {
        var topics = new Topics(URI.create(arguments[0]));
        try {
            topics.run(arguments[1], Arrays.asList(arguments).subList(2, arguments.length));
        } catch (ApplicationErrorException error) {
            // What a topic refuses is JSON; anything else is a text.
            if (!error.getMessage().startsWith("{")) {
                throw error;
            }
            var refused = JSON.readTree(error.getMessage());
            System.out.println("refused: " + refused.get("code").asText() + ": " + refused.get("message").asText()
                    + (refused.has("next") ? "; " + refused.get("next").asText() : ""));
            System.exit(1);
        }
        // The threads of its connection would keep it.
        System.exit(0);
    }

    private void run(String command, List<String> given) throws JsonProcessingException {
        var topic = given.get(0);
        switch (command) {
            case "create" -> create(topic, given.size() > 1 ? given.get(1) : "{}");
            case "publish" -> publish(topic, given.get(1));
            case "publish-bytes" -> publishBytes(topic, given.get(1));
            case "publish-many" -> publishMany(topic);
            case "consume" -> {
                var unfit = given.size() > 3 ? given.get(3) : null;
                consume(topic, given.get(1), Integer.parseInt(given.get(2)), unfit);
            }
            case "dead-letters" -> deadLetters(topic, given.get(1));
            case "redrive" -> redrive(topic, given.get(1));
            default -> throw new IllegalArgumentException(command);
        }
    }

    private void create(String topic, String config) throws JsonProcessingException {
        var created = ask(JSON, "towline.Topics.create", topic, JSON.readTree(config));
        System.out.println("created " + created.get("topic").asText());
    }

    /** Once this is answered the message is on the disk. */
    private void publish(String topic, String order) throws JsonProcessingException {
        tell(ask(JSON, "towline.Queue.publish", topic, message(JSON.readTree(order))));
    }

    /** Bytes that are no JSON, in a call that is CBOR: so is its answer. */
    private void publishBytes(String topic, String text) {
        tell(ask(CBOR, "towline.Queue.publish", topic, Map.of("body", text.getBytes(UTF_8))));
    }

    private static void tell(JsonNode stored) {
        System.out.println("stored " + stored.get("offset") + (stored.get("duplicate").asBoolean() ? ", as before" : ""));
    }

    /** Many on one channel: sent as the broker gives credit, each answered by a receipt, in order. */
    private void publishMany(String topic) {
        var lines = new BufferedReader(new InputStreamReader(System.in, UTF_8)).lines();
        var messages = Flux.fromStream(lines).map(line -> message(read(JSON, line.getBytes(UTF_8))));
        channel("towline.Queue.publishMany", messages, topic).doOnNext(receipt -> {
            var error = receipt.get("error");
            var became = error == null ? "stored " + receipt.get("offset") : "refused " + error.get("code").asText();
            System.out.println(receipt.get("n") + ": " + became);
        }).blockLast();
    }

    /** Takes so many messages of a group; what cannot be handled comes again, and in the end is a dead letter. */
    private void consume(String topic, String group, int count, String unfit) {
        Sinks.Many<Map<String, ?>> settles = Sinks.many().unicast().onBackpressureBuffer();
        var left = new AtomicInteger(count);
        var options = Map.of("start", "earliest", "maxAttempts", 3);
        channel("towline.Queue.consume", settles.asFlux(), topic, group, options).doOnNext(delivery -> {
            var offset = List.of(delivery.get("offset"));
            var id = delivery.get("json").get("id").asText();
            System.out.println("got " + id + ", attempt " + delivery.get("attempt"));
            settles.tryEmitNext(id.equals(unfit)
                    ? Map.of("nack", offset, "delayMs", 0, "reason", "cannot handle it")
                    : Map.of("ack", offset)).orThrow();
            // The end of the settles: the broker takes them all, hands over no more and ends the channel.
            if (left.decrementAndGet() == 0) {
                settles.tryEmitComplete().orThrow();
            }
        }).blockLast();
    }

    private void deadLetters(String topic, String group) {
        for (var letter : ask(JSON, "towline.Topics.deadLetters", topic, group)) {
            var headers = letter.get("headers");
            System.out.println(letter.get("offset") + ": " + letter.get("json").get("id") + " after "
                    + headers.get("towline-dead-attempts").asText() + " attempts: "
                    + headers.get("towline-dead-error").asText());
        }
    }

    private void redrive(String topic, String group) {
        System.out.println("moved " + ask(JSON, "towline.Topics.redrive", topic, group).get("moved"));
    }

    /** One with an id of its own is stored once, however often it is sent. */
    private static Map<String, ?> message(JsonNode order) {
        return Map.of("json", order, "id", "order-" + order.get("id").asText());
    }

    private JsonNode ask(ObjectMapper encoding, String method, Object... given) {
        var answer = broker.requestResponse(request(encoding, method, given)).block();
        return read(encoding, bytes(answer));
    }

    private Flux<JsonNode> channel(String method, Flux<? extends Map<String, ?>> said, Object... given) {
        Flux<Payload> items = said.map(item -> DefaultPayload.create(write(JSON, item)));
        // The first payload has the arguments.
        var payloads = items.startWith(request(JSON, method, given));
        return broker.requestChannel(payloads).limitRate(AHEAD).map(answer -> read(JSON, bytes(answer)));
    }

    /** The arguments, in an array, and where they go. */
    private static Payload request(ObjectMapper encoding, String method, Object... given) {
        var metadata = ByteBufAllocator.DEFAULT.compositeBuffer();
        var route = TaggingMetadataCodec.createTaggingContent(ByteBufAllocator.DEFAULT, List.of(method));
        CompositeMetadataCodec.encodeAndAddMetadata(metadata, ByteBufAllocator.DEFAULT,
                WellKnownMimeType.MESSAGE_RSOCKET_ROUTING, route);
        if (encoding == CBOR) {
            var type = Unpooled.wrappedBuffer(new byte[]{(byte) (0x80 | WellKnownMimeType.APPLICATION_CBOR.getIdentifier())});
            CompositeMetadataCodec.encodeAndAddMetadata(metadata, ByteBufAllocator.DEFAULT,
                    WellKnownMimeType.MESSAGE_RSOCKET_MIMETYPE, type);
        }
        return DefaultPayload.create(Unpooled.wrappedBuffer(write(encoding, given)), metadata);
    }

    private static byte[] bytes(Payload payload) {
        var data = payload.getData();
        var bytes = new byte[data.remaining()];
        data.get(bytes);
        payload.release();
        return bytes;
    }

    private static byte[] write(ObjectMapper encoding, Object value) {
        try {
            return encoding.writeValueAsBytes(value);
        } catch (JsonProcessingException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static JsonNode read(ObjectMapper encoding, byte[] bytes) {
        try {
            return encoding.readTree(bytes);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
