// Publishes one message with rabbitmq-client: persistent, mandatory and confirmed.
import { Connection } from 'rabbitmq-client'

const message = {
  event_id: 'e-1',
  message_id: 'rabbitmq-client-1', // the same whenever the message is sent again
  message_from: 'rabbitmq-client',
  message_type: 'chat',
  message_content: '先取证，再封禁',
}
const connection = new Connection(process.env.RABBITMQ_URL)
connection.on('error', (error) => console.error(error))
const publisher = connection.createPublisher({ confirm: true })
// A message that no queue takes is returned, and confirmed all the same.
publisher.on('basic.return', ({ replyText }) => {
  console.error(`not accepted: ${replyText}`)
  process.exitCode = 1
})
await publisher.send(
  {
    exchange: 'deepsoc_notifications_exchange',
    routingKey: 'notifications.frontend.e-1.chat',
    durable: true,
    mandatory: true,
    contentType: 'application/json',
  },
  Buffer.from(JSON.stringify(message)),
)
await publisher.close()
await connection.close()
