package test;

import com.alibaba.rsocket.client.SimpleRSocketRequesterSupport;
import com.alibaba.rsocket.health.RSocketServiceHealth;
import com.alibaba.rsocket.invocation.RSocketRemoteServiceBuilder;
import com.alibaba.rsocket.metadata.RSocketMimeType;
import com.alibaba.rsocket.rpc.LocalReactiveServiceCallerImpl;
import com.alibaba.rsocket.upstream.UpstreamCluster;
import com.alibaba.rsocket.upstream.UpstreamManager;
import com.alibaba.rsocket.upstream.UpstreamManagerImpl;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.util.retry.Retry;

/**
 * An app's connections to its brokers: what RSocketBrokerConnector makes, with the UpstreamManager in reach that the
 * builder of clients needs for everything beyond the encoding.
 */
class Link {
    static final Duration SOON = Duration.ofSeconds(30);
    private static final Duration LOOKS = Duration.ofMillis(50);

    final UpstreamManager upstream;

    /** Connects, as an app that serves these: interfaces by their implementation. */
    Link(List<String> brokers, Map<Class<?>, Object> services) throws Exception {
        var local = new LocalReactiveServiceCallerImpl();
        RSocketServiceHealth health = service -> Mono.just(1);
        local.addProvider("", RSocketServiceHealth.class.getCanonicalName(), "", RSocketServiceHealth.class, health);
        services.forEach((type, served) -> local.addProvider("", type.getCanonicalName(), "", type, served));
        var token = "your_token_here".toCharArray();
        var support = new SimpleRSocketRequesterSupport("stranger", token, brokers, local,
                Sinks.many().multicast().onBackpressureBuffer());
        upstream = new UpstreamManagerImpl(support);
        upstream.add(new UpstreamCluster(null, "*", null, brokers));
        upstream.init();
    }

    /** Waits until a broker has answered, and has an instance of this service if one is named. */
    void await(String service) {
        RSocketServiceHealth health = client(RSocketServiceHealth.class, RSocketMimeType.Json).build();
        Mono.defer(() -> health.check(service)).filter(status -> status == 1).repeatWhenEmpty(it -> it.delayElements(LOOKS))
                // There is no connection yet.
                .retryWhen(Retry.fixedDelay(Long.MAX_VALUE, LOOKS)).block(SOON);
    }

    <T> RSocketRemoteServiceBuilder<T> client(Class<T> type, RSocketMimeType encoding) {
        return RSocketRemoteServiceBuilder.client(type).upstreamManager(upstream).encodingType(encoding)
                .acceptEncodingType(encoding);
    }
}
