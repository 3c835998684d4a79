// Publishes one message with RabbitMQ's Java client: persistent, mandatory and confirmed.
// javac and java need amqp-client and slf4j-api on the class path.
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.MessageProperties;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.atomic.AtomicBoolean;

public class Publish {
  public static void main(String[] args) throws Exception {
    // message_id is the same whenever the message is sent again.
    String message =
        "{\"event_id\":\"e-1\",\"message_id\":\"java-1\",\"message_from\":\"java\","
            + "\"message_type\":\"chat\",\"message_content\":\"先取证，再封禁\"}";
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(System.getenv("RABBITMQ_URL"));
    try (var connection = factory.newConnection();
        var channel = connection.createChannel()) {
      channel.confirmSelect();
      // A message that no queue takes is returned, and confirmed all the same.
      AtomicBoolean returned = new AtomicBoolean();
      channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.set(true));
      channel.basicPublish(
          "deepsoc_notifications_exchange",
          "notifications.frontend.e-1.chat",
          true,
          MessageProperties.PERSISTENT_BASIC,
          message.getBytes(StandardCharsets.UTF_8));
      channel.waitForConfirmsOrDie(10_000);
      if (returned.get()) throw new IllegalStateException("not accepted");
    }
  }
}
