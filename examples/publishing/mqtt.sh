# Publishes one message over MQTT (plugin rabbitmq_mqtt) with mosquitto_pub. RabbitMQ needs this line in rabbitmq.conf:
#   mqtt.exchange = deepsoc_notifications_exchange
# Slashes of the topic become dots of the routing key. QoS 1 waits until RabbitMQ has it, also if no queue takes it.
mosquitto_pub -h "$1" -p "$2" -u guest -P guest -q 1 -t notifications/frontend/e-1/chat -m \
  '{"event_id":"e-1","message_id":"mqtt-1","message_from":"mqtt","message_type":"chat","message_content":"先取证，再封禁"}'
