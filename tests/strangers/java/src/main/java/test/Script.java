package test;

import com.alibaba.rsocket.metadata.GSVRoutingMetadata;
import com.alibaba.rsocket.metadata.MessageMimeTypeMetadata;
import com.alibaba.rsocket.metadata.RSocketCompositeMetadata;
import com.alibaba.rsocket.metadata.RSocketMimeType;
import com.alibaba.rsocket.encoding.RSocketEncodingFacade;
import io.rsocket.RSocketErrorException;
import io.rsocket.util.ByteBufPayload;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.reactivestreams.Subscription;
import reactor.core.publisher.BaseSubscriber;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** The checks of tests/strangers/script.rs. */
class Script {
    interface Nothing {
        Mono<String> nothing();
    }

    interface Nobody {
        Mono<String> echo(String text);
    }

    private interface Check {
        void run() throws Exception;
    }

    private final Link link;
    private final RSocketMimeType encoding;
    private final Probe probe;

    Script(Link link, RSocketMimeType encoding) {
        this.link = link;
        this.encoding = encoding;
        this.probe = link.client(Probe.class, encoding).build();
    }

    void run() throws Exception {
        check("echo", () -> same(get(probe.echo("héllo wörld")), "héllo wörld"));
        if (encoding == RSocketMimeType.CBOR) {
            System.out.println("lacks add: its CBOR carries one argument");
        } else {
            check("add", () -> same(get(probe.add(40, 2)), 42L));
        }
        check("ping", () -> same(get(probe.ping()), null));
        check("find", () -> {
            same(get(probe.find(7)), new Item(7, "seven"));
            same(get(probe.find(8)), null);
        });
        check("fail", () -> refused(probe.fail("no such thing"), 0x201, "no such thing"));
        check("note", this::note);
        check("count", () -> same(get(probe.count(100).limitRate(7, 7).collectList()), upTo(100)));
        check("credit", this::credit);
        check("cancel", this::cancel);
        check("sum", () -> same(get(probe.sum(Flux.fromIterable(upTo(100)))), 5050L));
        check("chat", () -> same(get(probe.chat("a", Flux.just("hi", "bye")).collectList()), List.of("a: hi", "a: bye")));
        check("large", this::large);
        var nothing = link.client(Nothing.class, encoding).service("test.Probe").build();
        check("unknown-method", () -> refused(nothing.nothing(), 0x204, "RST-201404"));
        var nobody = link.client(Nobody.class, encoding).service("test.Nobody").build();
        check("unknown-service", () -> refused(nobody.echo("?"), 0x204, "RST-900404"));
    }

    /** The starter never sends what returns <code>void</code>: this goes by rsocket-java, over the starter's connection. */
    private void note() throws Exception {
        var text = UUID.randomUUID().toString();
        var metadata = RSocketCompositeMetadata.from(new GSVRoutingMetadata(null, "test.Probe", "note", null),
                new MessageMimeTypeMetadata(encoding));
        var data = RSocketEncodingFacade.getInstance().encodingParams(new Object[]{text}, encoding);
        get(link.upstream.getRSocket("test.Probe").fireAndForget(ByteBufPayload.create(data, metadata.getContent())));
        soon(() -> List.of(get(probe.notes())).contains(text));
    }

    /** Exact towards this program; on the wire the starter asks for 32 and then for 24 at a time. */
    private void credit() throws Exception {
        var numbers = new Numbers(3);
        probe.count(1000).subscribe(numbers);
        for (int more : new int[]{3, 2}) {
            for (int n = 0; n < more; n++) {
                numbers.expectNext();
            }
            for (int n = 0; n < 10; n++) {
                get(probe.echo("meanwhile"));
            }
            same(numbers.came.poll(), null);
            if (more == 3) {
                numbers.request(2);
            }
        }
        numbers.cancel();
    }

    private void cancel() throws Exception {
        same(get(probe.count(1_000_000_000).take(5).collectList()), upTo(5));
        soon(() -> get(probe.running()) == 0);
    }

    private void large() {
        var text = "x".repeat(300_000);
        var back = get(probe.echo(text));
        if (!text.equals(back)) {
            throw new AssertionError((back == null ? "nothing" : back.length() + " letters") + " came back");
        }
    }

    private static void check(String name, Check check) throws Exception {
        try {
            check.run();
            System.out.println("ok " + name);
        } catch (AssertionError | Exception error) {
            System.out.println("failed " + name + ": " + error);
        }
    }

    private static <T> T get(Mono<T> answer) {
        return answer.block(Link.SOON);
    }

    private static void same(Object is, Object should) {
        if (is == null ? should != null : !is.equals(should)) {
            throw new AssertionError(is + ", not " + should);
        }
    }

    private static void refused(Mono<String> answer, int code, String text) {
        try {
            same(get(answer), "an error");
        } catch (RuntimeException thrown) {
            var cause = thrown instanceof RSocketErrorException ? thrown : thrown.getCause();
            if (!(cause instanceof RSocketErrorException error) || error.errorCode() != code
                    || !error.getMessage().startsWith(text)) {
                throw thrown;
            }
        }
    }

    private static void soon(Callable<Boolean> isSo) throws Exception {
        var deadline = System.nanoTime() + Link.SOON.toNanos();
        while (!isSo.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("it never came true");
            }
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }

    private static List<Long> upTo(long last) {
        return LongStream.rangeClosed(1, last).boxed().collect(Collectors.toList());
    }

    /** Numbers as they come, for what was asked. */
    private static class Numbers extends BaseSubscriber<Long> {
        final BlockingQueue<Object> came = new LinkedBlockingQueue<>();
        private final long first;
        private long expected = 1;

        Numbers(long first) {
            this.first = first;
        }

        @Override
        protected void hookOnSubscribe(Subscription subscription) {
            request(first);
        }

        @Override
        protected void hookOnNext(Long number) {
            came.add(number);
        }

        @Override
        protected void hookOnError(Throwable error) {
            came.add(error);
        }

        void expectNext() throws InterruptedException {
            same(came.poll(Link.SOON.toSeconds(), TimeUnit.SECONDS), expected++);
        }
    }
}
