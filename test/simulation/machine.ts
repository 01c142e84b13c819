import type { Clock } from 'evertoken'
import type { Scheduler } from './scheduler.ts'

/** What a connection to one of the shared services does. */
export type Link = 'up' | 'failing' | 'hanging'

/** What is broken in the world itself, to see whether it is noticed. */
export type Sabotage = (typeof SABOTAGES)[number]

/** All of them. */
export const SABOTAGES = [
  'answers are mixed up',
  'entries are kept',
  'the lock is open',
  'timers are dead',
  'clocks are slow',
] as const

/** Where every machine's wall clock stands when the world begins. */
const EPOCH = Date.UTC(2026, 0, 1)

interface Timer {
  readonly callback: () => void
  cancel: () => void
}

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
  #lastArrivalAt = 0
  readonly #timers = new Set<Timer>()
  #isBuried = false
  readonly #abandoned = new Set<() => void>()

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

  /** How long something travels that arrives after all that was sent before, as on one connection. */
  inOrder(ms: number): number {
    const { now } = this.scheduler
    // Of what falls due at one instant anything may come first.
    this.#lastArrivalAt = Math.max(now + ms, this.#lastArrivalAt + 0.001)
    return this.#lastArrivalAt - now
  }

  /** As `kill -9`: what it waits for never comes. */
  kill(): void {
    this.isDead = true
    for (const { cancel } of this.#timers) cancel()
  }

  /** A promise of something from outside. */
  promise<T>(work: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      const abandon = (): void => reject(new Error('buried'))
      if (this.#isBuried) return abandon()
      this.#abandoned.add(abandon)
      const first = (): unknown => this.#abandoned.delete(abandon)
      work(
        (value) => first() && resolve(value),
        (reason) => first() && reject(reason),
      )
    })
  }

  /**
   * Ends all that a dead process waits for, when its world is over. In memory it would wait for ever: signals that are listened to are kept by
   * the platform, and what listens with them.
   */
  bury(): void {
    this.#isBuried = true
    for (const { callback } of this.#timers) callback()
    this.#timers.clear()
    for (const abandon of this.#abandoned) abandon()
  }

  /** As `SIGSTOP` and `SIGCONT`: time goes on without it. */
  pause(ms: number): void {
    this.wasPaused = true
    this.#pausedUntil = this.scheduler.now + ms
  }

  /** Timers do not follow the wall clock. */
  #setTimer(callback: () => void, delayMs: number): () => void {
    if (this.#isBuried) {
      queueMicrotask(callback)
      return () => {}
    }
    const timer: Timer = { callback, cancel: () => {} }
    timer.cancel = this.after(delayMs, 'timer', () => {
      this.#timers.delete(timer)
      callback()
    })
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
      timer.cancel()
    }
  }
}
