import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Produces what stdin says to a topic: each line has a codec, a mode and values, divided by tabs. */
public class Produce {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = lines.readLine()) != null; ) {
            var fields = List.of(line.split("\t"));
            produce(arguments[0], arguments[1], fields.get(0), fields.get(1), fields.subList(2, fields.size()));
        }
    }

    static void produce(String servers, String topic, String codec, String mode, List<String> values) throws Exception {
        var options = new Properties();
        options.put("bootstrap.servers", servers);
        options.put("compression.type", codec);
        options.put("linger.ms", 20);
        if (!mode.equals("plain")) {
            options.put("transactional.id", topic + ".java." + codec + "." + mode);
        }
        try (var producer = new KafkaProducer<>(options, new StringSerializer(), new StringSerializer())) {
            if (!mode.equals("plain")) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            var sent = new ArrayList<Future<RecordMetadata>>();
            for (var value : values) {
                sent.add(producer.send(new ProducerRecord<>(topic, value)));
            }
            // What is aborted has to be on the broker first.
            for (var record : sent) {
                record.get();
            }
            if (mode.equals("commit")) {
                producer.commitTransaction();
            } else if (mode.equals("abort")) {
                producer.abortTransaction();
            }
        }
    }
}
