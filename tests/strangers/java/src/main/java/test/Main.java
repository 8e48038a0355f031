package test;

import com.alibaba.rsocket.RSocketAppContext;
import com.alibaba.rsocket.metadata.RSocketMimeType;
import com.alibaba.rsocket.transport.NetworkUtil;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.List;
import java.util.Map;
import reactor.core.publisher.Mono;

/**
 * <code>serve url [name [ip]]</code> and <code>call url [encoding]</code>, see tests/strangers/script.rs;
 * <code>ask url</code>, see {@link Asking}. Several URLs are joined by commas.
 */
public class Main {
    public static void main(String[] arguments) throws Exception {
        var brokers = List.of(arguments[1].split(","));
        switch (arguments[0]) {
            case "serve" -> {
                var name = arguments.length > 2 ? arguments[2] : "stranger";
                if (arguments.length > 3) {
                    // What it says of itself: on one machine all would say the same.
                    NetworkUtil.LOCAL_IP = arguments[3];
                }
                Who who = () -> Mono.just(name + " " + RSocketAppContext.ID);
                var link = new Link(brokers, Map.of(Probe.class, new Served(), Who.class, who));
                link.await(Probe.class.getCanonicalName());
                System.out.println("ready");
                while (System.in.read() >= 0) {
                    // It ends with its input.
                }
            }
            case "call" -> {
                var encoding = arguments.length > 2 ? RSocketMimeType.valueOf(arguments[2]) : RSocketMimeType.Json;
                var link = new Link(brokers, Map.of());
                link.await(null);
                new Script(link, encoding).run();
            }
            case "ask" -> {
                var link = new Link(brokers, Map.of());
                link.await(null);
                System.out.println("ready");
                var asking = new Asking(link);
                var lines = new BufferedReader(new InputStreamReader(System.in));
                for (var line = lines.readLine(); line != null; line = lines.readLine()) {
                    System.out.println(asking.ask(line));
                }
            }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        // The threads of its connections would keep it.
        System.exit(0);
    }
}
