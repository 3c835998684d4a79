import type { ValidationReason } from '../core/message.ts'
import type { AppendEntry, AppendResult } from '../store/store.ts'

/** Returns the reason why an entry is no stored message; null if it is one. */
export const rejectionReason = (entry: AppendEntry, kind: AppendResult['kind']): ValidationReason | null => {
  if (entry.kind === 'rejection') return entry.rejection.reason
  if (kind === 'conflict') return 'message_conflict'
  return kind === 'refused' ? 'message_unstorable' : null
}
