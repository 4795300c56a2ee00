import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtSession;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** What the Java jobs have alike: the topics, decoding, the model on one thread, an alert. */
final class Alike {
  static final String BOOTSTRAP = System.getenv("PEER_BOOTSTRAP");
  static final String GROUP = System.getenv("PEER_GROUP");
  static final String SOURCE = System.getenv("PEER_SOURCE");
  static final String ALERTS = System.getenv("PEER_ALERTS");
  static final boolean EXACTLY_ONCE = System.getenv("PEER_EXACTLY_ONCE") != null;
  static final String[] FEATURES = System.getenv("PEER_FEATURES").split(",");
  static final int WIDTH = FEATURES.length;
  static final float THRESHOLD = 0.8f;

  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.USE_FAST_DOUBLE_PARSER).build();
  private static final Map<String, Integer> PLACE = new HashMap<>();

  static {
    for (int i = 0; i < WIDTH; i++) PLACE.put(FEATURES[i], i);
  }

  private final OrtEnvironment environment = OrtEnvironment.getEnvironment();
  private final OrtSession session;
  private final DoubleBuffer rows;

  Alike(int most) throws Exception {
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setIntraOpNumThreads(1);
    options.setInterOpNumThreads(1);
    session = environment.createSession(System.getenv("PEER_MODEL"), options);
    rows =
        ByteBuffer.allocateDirect(most * WIDTH * Double.BYTES)
            .order(ByteOrder.nativeOrder())
            .asDoubleBuffer();
  }

  /** Decodes one event into a row; returns its id, or null where it is no event. */
  static String decode(byte[] value, double[] row) {
    Arrays.fill(row, Double.NaN);
    String id = null;
    try (JsonParser parser = JSON.createParser(value)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) return null;
      for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
        parser.nextToken();
        Integer place = PLACE.get(name);
        if (place != null) row[place] = parser.getDoubleValue();
        else if (name.equals("transaction_id")) id = parser.getText();
        else parser.skipChildren();
      }
    } catch (IOException broken) {
      return null;
    }
    for (double each : row) if (Double.isNaN(each)) return null;
    return id;
  }

  /** Returns the probabilities of the first rows. */
  float[] score(double[][] batch, int count) throws Exception {
    rows.clear();
    for (int i = 0; i < count; i++) rows.put(batch[i]);
    rows.flip();
    try (OnnxTensor input =
            OnnxTensor.createTensor(environment, rows, new long[] {count, WIDTH});
        OrtSession.Result found = session.run(Map.of("features", input))) {
      return (float[]) found.get("probability").orElseThrow().getValue();
    }
  }

  static byte[] alert(String id, double[] row, float probability) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream(1024);
    try (JsonGenerator json = JSON.createGenerator(bytes)) {
      json.writeStartObject();
      json.writeStringField("transaction_id", id);
      json.writeNumberField("probability", probability);
      json.writeObjectFieldStart("features");
      for (int i = 0; i < WIDTH; i++) json.writeNumberField(FEATURES[i], row[i]);
      json.writeEndObject();
      json.writeEndObject();
    } catch (IOException impossible) {
      throw new IllegalStateException(impossible);
    }
    return bytes.toByteArray();
  }
}
