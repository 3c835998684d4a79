import { GatewayError } from '../../core/errors.ts'
import { appendJsonMembers } from '../../core/json-members.ts'
import { type NewMessage, UNVERIFIED_PUBLISHED_BY } from '../../core/message.ts'
import type { Principal } from './claims.ts'

/** Message types that the scope `chat` can publish. */
const CHAT_TYPES: readonly (string | null)[] = ['chat', 'user_message']

/** Names of agents, of the system and of the AI, which a person must not have. */
const RESERVED_AUTHOR = /^(_.*|system|ai_assistant)$/s

const isAuthor = (subject: string | null): subject is string =>
  subject !== null &&
  subject.length > 0 &&
  subject.length <= 255 &&
  subject.isWellFormed() &&
  !/\p{Cc}/u.test(subject) &&
  !RESERVED_AUTHOR.test(subject)

/**
 * Appends the keys that the token determines, where they take precedence over those of the client: `published_by`, and with the scope
 * `chat` also the author.
 *
 * @throws GatewayError chat_forbidden
 */
export const attributeMessage = (message: NewMessage, { subject, name, publishScope }: Principal): NewMessage => {
  if (publishScope !== 'chat') return appendMembers(message, { published_by: subject })
  if (!CHAT_TYPES.includes(message.message_type)) {
    const type = JSON.stringify(message.message_type)
    throw new GatewayError('chat_forbidden', `The scope chat does not allow the message_type ${type}.`)
  }
  if (!isAuthor(subject)) {
    throw new GatewayError('chat_forbidden', 'The sub of the token is missing, invalid, or the name of an agent.')
  }
  const author = { message_from: subject, user_id: subject, user_nickname: name, sender_type: 'user' }
  return { ...appendMembers(message, { ...author, published_by: subject }), message_from: subject }
}

const appendMembers = (message: NewMessage, members: Readonly<Record<string, string | null>>): NewMessage => ({
  ...message,
  body: appendJsonMembers(message.body, JSON.stringify(members).slice(1, -1)),
  lacks: message.lacks & ~UNVERIFIED_PUBLISHED_BY,
})
