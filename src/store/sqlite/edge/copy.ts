import type { CopyState, StoreCopy } from '../../store-copy.ts'
import type { Writer } from '../writer-client.ts'
import type { CopyStep } from './copy-steps.ts'

/** @param onState called after each step */
export const createCopy = (
  writing: <Result>(write: (writer: Writer) => Promise<Result>) => Promise<Result>,
  onState: (state: CopyState) => void,
): StoreCopy => {
  const perform = async (step: CopyStep): Promise<CopyState> => {
    const state = await writing((writer) => writer.copy(step))
    onState(state)
    return state
  }
  return {
    open: (events) => perform({ do: 'open', followed: JSON.stringify(events) }),
    restart: (logId) => perform({ do: 'restart', logId }),
    add: (rows) => perform({ do: 'add', rows }),
    prune: (bounds) => perform({ do: 'prune', bounds }),
    noteLevel: (at) => perform({ do: 'level', at }),
  }
}
