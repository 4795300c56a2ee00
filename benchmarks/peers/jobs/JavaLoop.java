import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** A consumer loop in Java: batches of up to 2,048, one commit each 100 ms. */
public final class JavaLoop {
  private static final int MOST = 2048;

  public static void main(String[] none) throws Exception {
    Properties reading = new Properties();
    reading.put("bootstrap.servers", Alike.BOOTSTRAP);
    reading.put("group.id", Alike.GROUP);
    reading.put("auto.offset.reset", "earliest");
    reading.put("enable.auto.commit", "false");
    reading.put("max.poll.records", MOST);
    Properties writing = new Properties();
    writing.put("bootstrap.servers", Alike.BOOTSTRAP);
    writing.put("acks", "all");
    writing.put("linger.ms", "0");
    Alike model = new Alike(MOST);
    double[][] rows = new double[MOST][Alike.WIDTH];
    String[] ids = new String[MOST];
    try (var consumer =
            new KafkaConsumer<>(reading, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        var producer =
            new KafkaProducer<>(writing, new StringSerializer(), new ByteArraySerializer())) {
      consumer.subscribe(List.of(Alike.SOURCE));
      List<Future<?>> pending = new ArrayList<>();
      long committed = System.nanoTime();
      while (true) {
        ConsumerRecords<byte[], byte[]> batch = consumer.poll(Duration.ofMillis(100));
        int count = 0;
        for (ConsumerRecord<byte[], byte[]> each : batch) {
          ids[count] = Alike.decode(each.value(), rows[count]);
          if (ids[count] != null) count++;
        }
        if (count > 0) {
          float[] probability = model.score(rows, count);
          for (int i = 0; i < count; i++) {
            if (probability[i] >= Alike.THRESHOLD) {
              byte[] alert = Alike.alert(ids[i], rows[i], probability[i]);
              pending.add(producer.send(new ProducerRecord<>(Alike.ALERTS, ids[i], alert)));
            }
          }
        }
        if (!batch.isEmpty() && System.nanoTime() - committed > 100_000_000L) {
          for (Future<?> each : pending) each.get();
          pending.clear();
          consumer.commitSync();
          committed = System.nanoTime();
        }
      }
    }
  }
}
