package demo;

import com.alibaba.rsocket.client.RSocketBrokerConnector;
import java.util.List;
import java.util.stream.Collectors;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Serves <code>demo.Greeter</code>. The connection is the registration. */
public class Provider implements Greeter {
    private final String by = "java " + ProcessHandle.current().pid();

    @Override
    public Mono<Greeting> greet(String name) {
        if (name.isEmpty()) {
            // The caller gets this text as an error.
            return Mono.error(new IllegalArgumentException("who is to be greeted?"));
        }
        return Mono.just(new Greeting("Hello " + name + "!", by));
    }

    @Override
    public Flux<Integer> countDown(int from) {
        return Flux.range(1, from).map(n -> from + 1 - n);
    }

    @Override
    public Mono<Greeting> greetAll(Flux<String> names) {
        return names.collect(Collectors.joining(", ")).flatMap(this::greet);
    }

    public static void main(String[] arguments) throws InterruptedException {
        var broker = arguments.length > 0 ? arguments[0] : "tcp://127.0.0.1:9999";
        RSocketBrokerConnector.create()
                .appName("java-greeter")
                .brokers(List.of(broker))
                .service(Greeter.class, new Provider())
                .connect();
        // Until it is killed.
        Thread.currentThread().join();
    }
}
