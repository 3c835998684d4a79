/** Returns one word of a routing key. Characters that topic exchanges interpret, or that take several bytes, are replaced. */
const routingKeyWord = (text: string): string => {
  const safe = text.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 64)
  return safe === '' ? '_' : safe
}

/**
 * Returns a routing key that matches the binding, by convention `notifications.frontend.<event_id>.<message_type>`. It is used only for
 * routing: the event is read from the body.
 */
export const routingKeyFor = (binding: string, event_id: string, message_type: string | null | undefined): string => {
  const tail = [routingKeyWord(event_id), routingKeyWord(message_type ?? 'message')]
  if (binding === '#') return ['notifications', 'frontend', ...tail].join('.')
  const words = binding.split('.').flatMap((part) => (part === '#' ? tail : part === '*' ? tail[0]! : part))
  return words.join('.')
}

/**
 * Returns the AMQP property message_id of a message. It holds 255 bytes, so a longer id is only in the body. Half a surrogate pair would
 * come back changed, and a message that the broker returns is known by this id.
 */
export const amqpMessageId = (message_id: string): string => {
  const fits = message_id.length <= 85 || Buffer.byteLength(message_id) <= 255
  return (fits ? message_id : `long:${message_id.slice(0, 60)}`).toWellFormed()
}
