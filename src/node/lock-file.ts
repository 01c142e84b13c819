import { type FileHandle, link, open } from 'node:fs/promises'
import type { Acquired, LockCommands } from '../store/index.ts'
import { type Clock, randomId } from '../util/index.ts'
import { drop, isOver, leaseText, look, successionOf, take, touch, unless } from './leased-file.ts'

/** Where a lock lies, and for how long it lasts without a renewal. */
export interface LockFileOptions {
  readonly path: string
  readonly leaseMs: number
  readonly clock: Clock
  /** Told when the lock was taken. */
  readonly onTaken: () => void
}

const OWNER_ALONE = 0o600

/**
 * A lock that is a file: whoever has the name has the lock, what is in it tells the owner, and the time of its last change is that of the last
 * renewal. It appears as a whole, under a name of its own first.
 */
export function lockFile({ path, leaseMs, clock, onTaken }: LockFileOptions): LockCommands {
  const text = leaseText(randomId(), leaseMs)
  const succession = successionOf(path, text)
  let own: FileHandle | undefined

  async function create(): Promise<boolean> {
    const temporary = `${path}.${randomId()}.tmp`
    const file = await open(temporary, 'wx', OWNER_ALONE)
    try {
      await file.writeFile(text)
      await touch(file, clock)
      const isTaken = await take(path, { path: temporary, text, clock })
      if (isTaken) own = file
      return isTaken
    } finally {
      await drop(temporary)
      if (own !== file) await file.close()
    }
  }

  return {
    async acquire(): Promise<Acquired> {
      const found = await look(path)
      if (found !== undefined && !isOver(found, clock)) return undefined
      if (!(await create())) return undefined
      onTaken()
      // Nobody can tell whether somebody was there in the time before.
      return 'next'
    },
    async renew() {
      if (own === undefined) return false
      // In this order: whoever has found the lease over before it was renewed has begun to succeed before that is looked for.
      await touch(own, clock)
      return (await look(succession)) === undefined && (await look(path))?.text === text
    },
    async release() {
      const file = own
      own = undefined
      if (file === undefined) return false
      try {
        await touch(file, clock)
        if (!(await unless('EEXIST', link(path, succession)))) return false
        const isOurs = (await look(path))?.text === text
        if (isOurs) await drop(path)
        await drop(succession)
        return isOurs
      } catch (error) {
        if (Object(error).code === 'ENOENT') return false
        throw error
      } finally {
        await file.close()
      }
    },
  }
}
