package test;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** What an instance serves. */
class Served implements Probe {
    private final List<String> notes = new CopyOnWriteArrayList<>();
    private final AtomicInteger running = new AtomicInteger();

    @Override
    public Mono<String> echo(String text) {
        return Mono.just(text);
    }

    @Override
    public Mono<Long> add(long a, long b) {
        return Mono.just(a + b);
    }

    @Override
    public Mono<Void> ping() {
        return Mono.empty();
    }

    @Override
    public Mono<Item> find(int id) {
        return id == 7 ? Mono.just(new Item(7, "seven")) : Mono.empty();
    }

    @Override
    public Mono<String> fail(String text) {
        return Mono.error(new Exception(text));
    }

    @Override
    public Mono<Void> note(String text) {
        return Mono.fromRunnable(() -> notes.add(text));
    }

    @Override
    public Mono<String[]> notes() {
        return Mono.fromSupplier(() -> notes.toArray(String[]::new));
    }

    @Override
    public Flux<Long> count(long to) {
        Flux<Long> numbers = Flux.generate(() -> 1L, (next, sink) -> {
            sink.next(next);
            if (next == to) {
                sink.complete();
            }
            return next + 1;
        });
        return numbers.doOnSubscribe(it -> running.incrementAndGet()).doFinally(it -> running.decrementAndGet());
    }

    @Override
    public Mono<Integer> running() {
        return Mono.fromSupplier(running::get);
    }

    @Override
    public Mono<Long> sum(Flux<Long> numbers) {
        return numbers.reduce(0L, Long::sum);
    }

    @Override
    public Flux<String> chat(String prefix, Flux<String> said) {
        return said.map(text -> prefix + ": " + text);
    }
}
