import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

/**
 * Kafka Streams, DSL: positions joined to prices by foreign key, summed by account.
 * Arguments: bootstrap servers, state directory, maintenance rate, haircut ratio, call line, liquidation line.
 */
public final class MarginTables {
    private static final Serde<String> TEXT = Serdes.String();

    private static String sum(String first, String second, int sign) {
        String[] a = first.split(",");
        String[] b = second.split(",");
        double value = Double.parseDouble(a[0]) + sign * Double.parseDouble(b[0]);
        double size = Double.parseDouble(a[1]) + sign * Double.parseDouble(b[1]);
        return value + "," + size;
    }

    public static void main(String[] arguments) {
        double[] numbers = Arrays.stream(arguments).skip(2).mapToDouble(Double::parseDouble).toArray();
        double[] lines = Arrays.copyOfRange(numbers, 2, numbers.length);
        StreamsBuilder builder = new StreamsBuilder();
        KTable<String, String> prices = builder.table("peer-prices", Consumed.with(TEXT, TEXT));
        // Key: account/symbol; value: quantity, size, entry value. Cash is a position of price 1 that needs no margin.
        KTable<String, String> positions = builder.table("peer-positions", Consumed.with(TEXT, TEXT));
        positions
                .mapValues((key, value) -> key.substring(key.indexOf('/') + 1) + "," + value)
                .join(prices, value -> value.substring(0, value.indexOf(',')), (value, at) -> {
                    String[] words = value.split(",");
                    double price = Double.parseDouble(at);
                    double pnl = Double.parseDouble(words[1]) * price - Double.parseDouble(words[3]);
                    return pnl + "," + Double.parseDouble(words[2]) * price;
                })
                .groupBy((key, value) -> KeyValue.pair(key.substring(0, key.indexOf('/')), value), Grouped.with(TEXT, TEXT))
                .aggregate(
                        () -> "0,0",
                        (key, value, all) -> sum(all, value, 1),
                        (key, value, all) -> sum(all, value, -1),
                        Materialized.with(TEXT, TEXT))
                .toStream()
                .mapValues(all -> {
                    String[] words = all.split(",");
                    double value = numbers[1] * Double.parseDouble(words[0]);
                    double required = numbers[0] * Double.parseDouble(words[1]);
                    return Arrays.stream(lines).filter(line -> value < line * required).count();
                })
                .filter((key, band) -> band > 0)
                .mapValues(band -> Long.toString(band))
                .to("peer-crossings", Produced.with(TEXT, TEXT));
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, TEXT.getClass());
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, TEXT.getClass());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
        // The cache folds what a price takes out and what it adds; it is flushed at each commit.
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 50);
        settings.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 512L << 20);
        settings.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }
}
