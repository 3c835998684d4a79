export {
  type ChatContext as ChatPlace,
  DEEPSOC,
  type DeepsocMessage,
  type DeepsocRole,
  deepsoc,
  type MessageContext as Place,
} from './deepsoc.ts'
export type * from './deepsoc-data.ts'
export {
  type DeliveryStatus,
  PUBLISH_ERRORS,
  PublishError,
  type PublishErrorCode,
  type PublishErrorEntry,
} from './errors.ts'
export { type OutgoingMessage, routingKey } from './message.ts'
export { Publisher, type PublisherOptions, type PublisherState, type SendResult as Sent } from './publisher.ts'
