package demo;

import com.alibaba.rsocket.client.RSocketBrokerConnector;
import com.alibaba.rsocket.loadbalance.NoAvailableConnectionException;
import com.alibaba.rsocket.metadata.RSocketMimeType;
import java.time.Duration;
import java.util.List;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.util.retry.Retry;

/** Calls <code>demo.Greeter</code>, whoever serves it: an app in Java or in Rust. */
public class Consumer {
    public static void main(String[] arguments) {
        var broker = arguments.length > 0 ? arguments[0] : "tcp://127.0.0.1:9999";
        var client = RSocketBrokerConnector.create()
                .appName("java-consumer")
                .brokers(List.of(broker))
                // What everybody reads; the starter's own Hessian is for Java alone.
                .dataMimeType(RSocketMimeType.Json)
                .connect();
        var greeter = client.buildService(Greeter.class);

        // The starter connects in the background and does not wait: the first call does.
        var untilConnected = Retry.fixedDelay(100, Duration.ofMillis(50))
                .filter(NoAvailableConnectionException.class::isInstance);
        var greeting = Mono.defer(() -> greeter.greet("world")).retryWhen(untilConnected).block();
        System.out.println(greeting.getText() + " (by " + greeting.getBy() + ")");
        greeter.countDown(3).doOnNext(System.out::println).blockLast();
        System.out.println(greeter.greetAll(Flux.just("Ada", "Bob")).block().getText());
        try {
            greeter.greet("").block();
        } catch (RuntimeException error) {
            System.out.println("refused: " + error.getMessage());
        }
        client.dispose();
    }
}
