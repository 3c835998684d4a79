export {
  type ChatPlace,
  DEEPSOC,
  type DeepsocMessage,
  type DeepsocRole,
  deepsoc,
  type Place,
} from './deepsoc.ts'
export type * from './deepsoc-data.ts'
export {
  type Fate,
  PUBLISH_ERRORS,
  PublishError,
  type PublishErrorCode,
  type PublishErrorEntry,
} from './errors.ts'
export { type OutgoingMessage, routingKey } from './message.ts'
export { Publisher, type PublisherOptions, type PublisherState, type Sent } from './publisher.ts'
