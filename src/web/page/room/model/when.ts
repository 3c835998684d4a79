import type { RoomModel } from './room.ts'

/** Resolves once a condition on the room holds; it is checked whenever the room changes. */
export const when = ({ changed, history }: RoomModel, holds: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) return
      for (const end of ends) end()
      resolve()
    }
    const ends = [changed.subscribe(look), history.subscribe(look)]
    look()
  })
