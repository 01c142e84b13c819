import { createGate, type Gate } from '../util/index.ts'
import type { WithLock } from './with-lock.ts'

interface Place {
  readonly gate: Gate
  /** Who is inside or waits; the last one to go takes the place away. */
  users: number
}

/** A lock in this process: tasks of one name run one after another, in the order in which they came. */
export function localLock(): WithLock {
  const places = new Map<string, Place>()
  return async (name, task, { signal } = {}) => {
    signal?.throwIfAborted()
    const place = places.get(name) ?? { gate: createGate(1), users: 0 }
    places.set(name, place)
    place.users++
    try {
      const isFirst = place.gate.tryEnter()
      if (!isFirst) await place.gate.enter(signal ?? new AbortController().signal)
      try {
        return await task({ isFirst })
      } finally {
        place.gate.leave()
      }
    } finally {
      place.users--
      if (place.users === 0) places.delete(name)
    }
  }
}
