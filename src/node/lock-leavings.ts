import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../util/index.ts'
import { drop, isOver, look } from './leased-file.ts'

/** Names that a file has only for as long as it takes to take a lock or to give it up, or for good if its process was killed there. */
const PASSING = /^[\w-]{43}(\.lock\.[\w-]{24}\.tmp|\.next)$/
/** More are left for the next time. */
const MOST = 100

/** How often a folder is looked through. */
export interface SweepOptions {
  readonly clock: Clock
  readonly leaseMs: number
}

/**
 * Removes from the folder, behind its caller and once in a lease at the most, what killed processes have left there. A process that was only paused finds its file
 * gone, as it would find its lease over.
 */
export function createSweep(folder: string, { clock, leaseMs }: SweepOptions): () => void {
  let nextAt = 0
  return () => {
    const now = clock.now()
    if (now < nextAt) return
    nextAt = now + leaseMs
    // Nobody waits for it, and whoever comes next tries again.
    sweep(folder, clock).catch(() => {})
  }
}

async function sweep(folder: string, clock: Clock): Promise<void> {
  const names = (await readdir(folder)).filter((name) => PASSING.test(name)).slice(0, MOST)
  // What is no file of ours keeps nobody from those behind it.
  for (const name of names) await removeLeft(join(folder, name), clock).catch(() => {})
}

async function removeLeft(path: string, clock: Clock): Promise<void> {
  const found = await look(path)
  if (found !== undefined && isOver(found, clock)) await drop(path)
}
