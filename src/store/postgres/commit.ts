import type { Client } from 'pg'
import { GatewayError } from '../../core/errors.ts'
import { standbyUnavailable } from './errors.ts'

/** Function of the server that waits for the synchronous standby; it reports a cancelled wait as a warning, in the server's language. */
const STANDBY_WAIT = 'SyncRepWaitForLSN'

/**
 * Commits the transaction of a connection.
 *
 * @param last statements that run directly before COMMIT
 * @throws GatewayError if it was rolled back, or its commit did not wait for the synchronous standby
 * @throws DatabaseError of the driver
 */
export const commitTransaction = async (client: Client, last = ''): Promise<void> => {
  const cancelledWaits: string[] = []
  const onNotice = ({
    routine,
    message,
  }: {
    readonly routine: string | undefined
    readonly message: string | undefined
  }): void => {
    if (routine === STANDBY_WAIT) cancelledWaits.push(message ?? '')
  }
  client.on('notice', onNotice)
  try {
    const outcome = await client.query(`${last}COMMIT`)
    const { command } = [outcome].flat().at(-1)!
    // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, without an error.
    if (command !== 'COMMIT') throw new GatewayError('storage_unavailable', `COMMIT was answered by ${command}.`)
    if (cancelledWaits.length > 0) throw standbyUnavailable(cancelledWaits.join(' '))
  } finally {
    client.off('notice', onNotice)
  }
}
