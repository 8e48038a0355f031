package test;

import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** The service of tests/strangers/probe.rs, as an app on the starter writes it. */
public interface Probe {
    Mono<String> echo(String text);

    Mono<Long> add(long a, long b);

    Mono<Void> ping();

    Mono<Item> find(int id);

    Mono<String> fail(String text);

    /** One-way for others; the starter itself never sends a method that returns <code>void</code>. */
    Mono<Void> note(String text);

    /** An array: of a list, the starter's JSON reads one element. */
    Mono<String[]> notes();

    Flux<Long> count(long to);

    Mono<Integer> running();

    Mono<Long> sum(Flux<Long> numbers);

    Flux<String> chat(String prefix, Flux<String> said);
}
