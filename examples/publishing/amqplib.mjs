// Publishes one message with amqplib: persistent, mandatory and confirmed.
import amqp from 'amqplib'

const message = {
  event_id: 'e-1',
  message_id: 'amqplib-1', // the same whenever the message is sent again
  message_from: 'amqplib',
  message_type: 'chat',
  message_content: '先取证，再封禁',
}
const connection = await amqp.connect(process.env.RABBITMQ_URL)
const channel = await connection.createConfirmChannel()
// A message that no queue takes is returned, and confirmed all the same.
channel.on('return', ({ fields }) => {
  console.error(`not accepted: ${fields.replyText}`)
  process.exitCode = 1
})
channel.publish(
  'deepsoc_notifications_exchange',
  'notifications.frontend.e-1.chat',
  Buffer.from(JSON.stringify(message)),
  { persistent: true, mandatory: true, contentType: 'application/json' },
)
await channel.waitForConfirms()
await connection.close()
