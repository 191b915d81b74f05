import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams, Processor API: an account's positions live in a store with a changelog, and as arrays beside an index of holders.
 * A price comes into every partition; all holders in the partition are summed anew, and who entered a worse band is said.
 * Arguments: bootstrap servers, state directory, maintenance rate, haircut ratio, call line, liquidation line.
 */
public final class MarginStreams implements Processor<String, String, String, String> {
    private static final String STORE = "accounts";

    private final double rate;
    private final double haircut;
    private final double[] lines;
    private final Map<String, Account> accounts = new HashMap<>();
    private final Map<String, Map<String, Account>> holders = new HashMap<>();
    private final Map<String, double[]> prices = new HashMap<>();
    private ProcessorContext<String, String> context;
    private KeyValueStore<String, String> store;

    private MarginStreams(double rate, double haircut, double[] lines) {
        this.rate = rate;
        this.haircut = haircut;
        this.lines = lines;
    }

    /** The price cells are shared by all holders: a tick writes one number. */
    private static final class Account {
        double settled;
        double[][] price = new double[0][];
        double[] quantity = new double[0];
        int band;
    }

    @Override
    public void init(ProcessorContext<String, String> given) {
        context = given;
        store = given.getStateStore(STORE);
        try (var all = store.all()) {
            all.forEachRemaining(it -> open(it.key, it.value));
        }
    }

    @Override
    public void process(Record<String, String> record) {
        if (context.recordMetadata().orElseThrow().topic().equals("peer-accounts")) {
            store.put(record.key(), record.value());
            open(record.key(), record.value());
            return;
        }
        prices.computeIfAbsent(record.key(), it -> new double[1])[0] = Double.parseDouble(record.value());
        holders.getOrDefault(record.key(), Map.of()).forEach((name, account) -> {
            int band = bandOf(account);
            if (band > account.band) {
                context.forward(new Record<>(name, Integer.toString(band), record.timestamp()));
            }
            account.band = band;
        });
    }

    /** A value is the wallet, then symbol, quantity and entry price of each position, with commas between. */
    private void open(String name, String value) {
        String[] words = value.split(",");
        Account account = accounts.computeIfAbsent(name, it -> new Account());
        int count = words.length / 3;
        account.settled = Double.parseDouble(words[0]);
        account.price = new double[count][];
        account.quantity = new double[count];
        for (int i = 0; i < count; i++) {
            account.price[i] = prices.computeIfAbsent(words[3 * i + 1], it -> new double[1]);
            account.quantity[i] = Double.parseDouble(words[3 * i + 2]);
            account.settled -= account.quantity[i] * Double.parseDouble(words[3 * i + 3]);
            holders.computeIfAbsent(words[3 * i + 1], it -> new HashMap<>()).put(name, account);
        }
    }

    private int bandOf(Account account) {
        double value = account.settled;
        double required = 0;
        for (int i = 0; i < account.quantity.length; i++) {
            double at = account.quantity[i] * account.price[i][0];
            value += at;
            required += Math.abs(at);
        }
        int band = 0;
        for (double line : lines) {
            band += haircut * value < line * rate * required ? 1 : 0;
        }
        return band;
    }

    public static void main(String[] arguments) {
        double[] numbers = Arrays.stream(arguments).skip(2).mapToDouble(Double::parseDouble).toArray();
        double[] lines = Arrays.copyOfRange(numbers, 2, numbers.length);
        var stored = Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), Serdes.String());
        Topology topology = new Topology()
                .addSource("in", new StringDeserializer(), new StringDeserializer(), "peer-accounts", "peer-prices")
                .addProcessor("margin", () -> new MarginStreams(numbers[0], numbers[1], lines), "in")
                .addStateStore(stored, "margin")
                .addSink("out", "peer-crossings", new StringSerializer(), new StringSerializer(), "margin");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 0);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }
}
