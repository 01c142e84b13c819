import type { Clock } from '../../util/index.ts'

/** Makes a write under a key after the one before it; settles with it, or with the one that was made in its place. */
export type WriteInTurn = (key: string, write: Write) => Promise<void>

type Write = () => Promise<void>

/** The writes of one key: one is under way, and one may wait. */
interface Place {
  waiting?: Waiting | undefined
}

interface Waiting {
  write: Write
  readonly written: Promise<void>
  settle(written: Promise<void>): void
}

/** So long a write has its turn. One that has not ended by then, and may never, holds up those behind it no longer. */
const TURN_MS = 1000

/**
 * Keeps the order of writes of one key: an adapter with several connections would make what comes later before what came first. Of those that wait only the
 * last one is made, since nothing else would be left of them.
 */
export function lastWrites(clock: Clock): WriteInTurn {
  const places = new Map<string, Place>()

  function begin(key: string, place: Place, write: Write): Promise<void> {
    const written = write()
    void turnOf(written, clock).then(() => {
      const { waiting } = place
      place.waiting = undefined
      if (waiting === undefined) places.delete(key)
      else waiting.settle(begin(key, place, waiting.write))
    })
    return written
  }

  return (key, write) => {
    const place = places.get(key)
    if (place === undefined) {
      const own: Place = {}
      places.set(key, own)
      return begin(key, own, write)
    }
    place.waiting ??= waitingFor(write)
    place.waiting.write = write
    return place.waiting.written
  }
}

function waitingFor(write: Write): Waiting {
  let settle = (_written: Promise<void>): void => {}
  const written = new Promise<void>((resolve) => {
    settle = resolve
  })
  return { write, written, settle }
}

/** Ends with the write, however that ends, and when its time is up at the latest. */
function turnOf(written: Promise<void>, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.setTimer(resolve, TURN_MS)
    const end = (): void => {
      cancel()
      resolve()
    }
    written.then(end, end)
  })
}
