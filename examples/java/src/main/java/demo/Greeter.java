package demo;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * What both sides share. The service is called as the interface is: <code>demo.Greeter</code>.
 *
 * <p>A Mono is a request with one answer, also of Void; a Flux has many; a Flux as the last parameter is what the caller
 * sends meanwhile. The starter never sends a method that returns void, and reads a Mono of a List as one element: return
 * an array.
 */
public interface Greeter {
    Mono<Greeting> greet(String name);

    /** As many as the caller reads. */
    Flux<Integer> countDown(int from);

    Mono<Greeting> greetAll(Flux<String> names);
}
