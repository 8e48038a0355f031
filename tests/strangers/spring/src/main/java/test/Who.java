package test;

import reactor.core.publisher.Mono;

/** Tells instances apart. */
public interface Who {
    /** A name and the uuid of its app. */
    Mono<String> who();
}
