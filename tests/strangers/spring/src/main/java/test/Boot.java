package test;

import com.alibaba.rsocket.RSocketAppContext;
import com.alibaba.rsocket.RSocketService;
import com.alibaba.rsocket.invocation.RSocketRemoteServiceBuilder;
import com.alibaba.rsocket.metadata.RSocketMimeType;
import com.alibaba.rsocket.upstream.UpstreamManager;
import com.alibaba.spring.boot.rsocket.RSocketBrokerHealthIndicator;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.actuate.health.Status;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.web.ServerProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import reactor.core.publisher.Mono;

/**
 * Serves <code>g1!test.Who:1.0.0</code> and, for each line <code>who</code> or <code>health</code>, asks who serves
 * <code>test.Who</code> or whether its broker is well. Its arguments are properties of Spring Boot.
 */
@SpringBootApplication
// The starter wants them without a web server too.
@EnableConfigurationProperties(ServerProperties.class)
public class Boot {
    private static final Duration SOON = Duration.ofSeconds(30);

    @RSocketService(serviceInterface = Who.class, group = "g1", version = "1.0.0")
    static class Served implements Who {
        @Override
        public Mono<String> who() {
            return Mono.just("spring " + RSocketAppContext.ID);
        }
    }

    @Bean
    Served served() {
        return new Served();
    }

    @Bean
    Who who(UpstreamManager upstream) {
        return RSocketRemoteServiceBuilder.client(Who.class).upstreamManager(upstream)
                .encodingType(RSocketMimeType.Json).acceptEncodingType(RSocketMimeType.Json).build();
    }

    /** Runs before the app is ready: what the starter then tells its brokers goes over connections that are there. */
    @Bean
    CommandLineRunner connected(RSocketBrokerHealthIndicator broker) {
        return arguments -> broker.health().filter(health -> health.getStatus() == Status.UP)
                .repeatWhenEmpty(it -> it.delayElements(Duration.ofMillis(50))).block(SOON);
    }

    public static void main(String[] arguments) throws Exception {
        try (var context = SpringApplication.run(Boot.class, arguments)) {
            System.out.println("ready");
            var lines = new BufferedReader(new InputStreamReader(System.in));
            for (var line = lines.readLine(); line != null; line = lines.readLine()) {
                System.out.println(switch (line) {
                    case "who" -> context.getBean("who", Who.class).who().block(SOON);
                    case "health" -> context.getBean(RSocketBrokerHealthIndicator.class).health().block(SOON);
                    default -> throw new IllegalArgumentException(line);
                });
            }
        }
        System.exit(0);
    }
}
