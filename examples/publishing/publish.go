// Publishes one message with amqp091-go: persistent, mandatory and confirmed.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	body, err := json.Marshal(map[string]any{
		"event_id":        "e-1",
		"message_id":      "go-1", // the same whenever the message is sent again
		"message_from":    "go",
		"message_type":    "chat",
		"message_content": "先取证，再封禁",
	})
	check(err)
	connection, err := amqp.Dial(os.Getenv("RABBITMQ_URL"))
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	// A message that no queue takes is returned, and confirmed all the same.
	returned := channel.NotifyReturn(make(chan amqp.Return, 1))
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(context.Background(),
		"deepsoc_notifications_exchange", "notifications.frontend.e-1.chat", true, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", Body: body})
	check(err)
	if !confirmation.Wait() || len(returned) > 0 {
		log.Fatal("not accepted")
	}
}
