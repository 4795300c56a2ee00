import java.nio.file.Files;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** Kafka Streams: each event by itself through the model, in a topology without state. */
public final class OnKafkaStreams {
  public static void main(String[] none) throws Exception {
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, Alike.GROUP);
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, Alike.BOOTSTRAP);
    settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("streams").toString());
    settings.put(
        StreamsConfig.PROCESSING_GUARANTEE_CONFIG,
        Alike.EXACTLY_ONCE ? StreamsConfig.EXACTLY_ONCE_V2 : StreamsConfig.AT_LEAST_ONCE);
    settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
    settings.put(StreamsConfig.consumerPrefix("max.poll.records"), 2048);
    settings.put(StreamsConfig.producerPrefix("linger.ms"), 0);
    Alike model = new Alike(1);
    double[][] row = new double[1][Alike.WIDTH]; // one stream thread
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(Alike.SOURCE, Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
        .map((key, value) -> alert(model, row, value))
        .filter((id, alert) -> alert != null)
        .to(Alike.ALERTS, Produced.with(Serdes.String(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }

  private static KeyValue<String, byte[]> alert(Alike model, double[][] row, byte[] value) {
    String id = Alike.decode(value, row[0]);
    if (id == null) return KeyValue.pair(null, null);
    try {
      float probability = model.score(row, 1)[0];
      boolean fraud = probability >= Alike.THRESHOLD;
      return KeyValue.pair(id, fraud ? Alike.alert(id, row[0], probability) : null);
    } catch (Exception failed) {
      throw new IllegalStateException(failed);
    }
  }
}
