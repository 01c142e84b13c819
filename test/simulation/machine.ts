import type { Clock } from 'evertoken'
import type { Scheduler } from './scheduler.ts'

/** What a connection to one of the shared services does. */
export type Link = 'up' | 'failing' | 'hanging'

/** What is broken in the world itself, to see whether it is noticed. */
export type Sabotage = (typeof SABOTAGES)[number]

/** All of them. */
export const SABOTAGES = [
  'entries are mixed up',
  'entries are kept',
  'the lock is open',
  'timers are dead',
  'clocks are slow',
] as const

/** Where every machine's wall clock stands when the world begins. */
const EPOCH = Date.UTC(2026, 0, 1)

/** Where one process runs: it has a clock, connections, and may be stopped or killed. */
export class Machine {
  readonly name: string
  readonly scheduler: Scheduler
  /** Connections to the store, the lock and the news. */
  readonly links: Record<'store' | 'lock' | 'news', Link> = { store: 'up', lock: 'up', news: 'up' }
  readonly clock: Clock
  /** How far its clock is ahead of the world's. */
  aheadMs = 0
  isDead = false
  wasPaused = false
  /** It is closing, or closed: late calls are refused. */
  isLeaving = false
  #pausedUntil = 0
  readonly #timers = new Set<() => void>()

  constructor(name: string, scheduler: Scheduler, sabotage?: Sabotage) {
    this.name = name
    this.scheduler = scheduler
    const pace = sabotage === 'clocks are slow' ? 0.5 : 1
    const now = (): number => EPOCH + scheduler.now * pace + this.aheadMs
    const setTimer: Clock['setTimer'] =
      sabotage === 'timers are dead' ? () => () => {} : (callback, delayMs) => this.#setTimer(callback, delayMs)
    this.clock = { now, wallTime: now, setTimer }
  }

  /** How many timers wait. */
  get timers(): number {
    return this.#timers.size
  }

  get isPaused(): boolean {
    return this.scheduler.now < this.#pausedUntil
  }

  /** Something that reaches the process after a time; never, when it is dead by then, and later when it is stopped. */
  after(ms: number, what: string, run: () => void): () => void {
    let cancel = this.scheduler.after(ms, '', () => {
      if (this.isDead) return
      if (this.isPaused) {
        // A little more than the difference, which may have been rounded down.
        cancel = this.after(this.#pausedUntil - this.scheduler.now + 0.001, what, run)
        return
      }
      this.scheduler.note(`${this.name} ${what}`)
      run()
    })
    return () => cancel()
  }

  /** As `kill -9`: what it waits for never comes. */
  kill(): void {
    this.isDead = true
    for (const cancel of [...this.#timers]) cancel()
  }

  /** As `SIGSTOP` and `SIGCONT`: time goes on without it. */
  pause(ms: number): void {
    this.wasPaused = true
    this.#pausedUntil = this.scheduler.now + ms
  }

  /** Timers do not follow the wall clock. */
  #setTimer(callback: () => void, delayMs: number): () => void {
    const cancel = this.after(delayMs, 'timer', () => {
      this.#timers.delete(stop)
      callback()
    })
    const stop = (): void => {
      this.#timers.delete(stop)
      cancel()
    }
    this.#timers.add(stop)
    return stop
  }
}
