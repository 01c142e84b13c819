/** Lets so many in at a time; the others wait in order. Whoever was let in leaves once. */
export interface Gate {
  /** Goes in if there is room and nobody waits. */
  tryEnter(): boolean
  /** Goes in when its turn comes; rejects with `signal.reason`, and waits no longer, when the signal aborts. */
  enter(signal: AbortSignal): Promise<void>
  leave(): void
}

/** A gate for `limit` at a time. */
export function createGate(limit: number): Gate {
  let inside = 0
  const waiting = new Set<() => void>()
  return {
    tryEnter() {
      if (inside >= limit) return false
      inside++
      return true
    },
    enter(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const turn = (): void => {
          signal.removeEventListener('abort', giveUp)
          resolve()
        }
        const giveUp = (): void => {
          waiting.delete(turn)
          reject(signal.reason)
        }
        waiting.add(turn)
        signal.addEventListener('abort', giveUp, { once: true })
      })
    },
    leave() {
      const [next] = waiting
      // The place goes from hand to hand, so that nobody who comes later slips in between.
      if (next === undefined) inside--
      else if (waiting.delete(next)) next()
    },
  }
}
