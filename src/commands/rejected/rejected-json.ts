import { isUtf8 } from 'node:buffer'
import type { RejectedHead, RejectedRow } from '../../log/quarantine.ts'

/**
 * A row as a JSON object on one line. Headers and properties go in as the texts that they are: an integer beyond
 * 2^53 keeps its digits. A body that is no UTF-8 becomes `body_base64`.
 */
export const rejectedJson = (row: RejectedHead | RejectedRow): string => {
  const { headers, properties, received_at, ...rest } = row
  const { body, ...facts } = rest as Partial<Pick<RejectedRow, 'body'>> & typeof rest
  const head = JSON.stringify({ ...facts, received_at: new Date(received_at).toISOString() })
  const tail = body === undefined ? '' : `,${bodyPair(body)}`
  return `${head.slice(0, -1)},"headers":${headers},"properties":${properties}${tail}}`
}

const bodyPair = (body: Buffer): string =>
  isUtf8(body) ? `"body":${JSON.stringify(body.toString())}` : `"body_base64":"${body.toString('base64')}"`
