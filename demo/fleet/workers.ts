import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { noTotals, type Report, type Totals } from '../report.ts'
import type { News, Order, WorkerSettings } from './messages.ts'

/** One process of the fleet, as the demo sees it. */
export interface FleetWorker {
  readonly number: number
  readonly name: string
  work(): void
  /** Makes so many calls at once and waits until all have been answered. */
  burst(calls: number, path: string): Promise<void>
  /** As `kill -9` does. */
  kill(): Promise<void>
  stop(): Promise<void>
}

/** All of them; tells who asks for a token. */
export interface Fleet {
  /** Those that are alive. */
  readonly workers: ReadonlySet<FleetWorker>
  /** Emits `asking` with the worker that asks the authorization server, and `lost` with one that ended by itself. */
  readonly events: EventEmitter
  /** Starts one more, which then waits for `work`. */
  add(): Promise<FleetWorker>
  /** The sums of all, of the dead too. */
  totals(): Totals
  stop(): Promise<void>
}

const PROGRAM = fileURLToPath(new URL('./fleet-worker.js', import.meta.url))

/** A fleet without any worker yet. */
export function createFleet(settings: Omit<WorkerSettings, 'number'>, report: Report): Fleet {
  const workers = new Set<FleetWorker>()
  const counted: Totals[] = []
  const events = new EventEmitter()
  let last = 0

  async function add(): Promise<FleetWorker> {
    const number = ++last
    const child = fork(PROGRAM)
    const heard = new EventEmitter()
    const worker = workerOf({ child, heard, number })
    workers.add(worker)
    child.on('message', (news: News) => {
      if (news.kind === 'line') report.line(worker.name, news.text, news.tone)
      else if (news.kind === 'totals') counted[number] = news.totals
      else if (news.kind === 'asking') events.emit('asking', worker)
      else heard.emit(news.kind)
    })
    child.on('exit', (code, signal) => {
      workers.delete(worker)
      if (signal !== 'SIGKILL' && code !== 0) events.emit('lost', worker)
      // For those who wait for its answer.
      if (heard.listenerCount('error') > 0)
        heard.emit('error', new Error(`expected ${worker.name} to answer, got an exit`))
    })
    await once(heard, 'started')
    send(child, { kind: 'settings', settings: { ...settings, number } })
    await once(heard, 'ready')
    return worker
  }

  return {
    workers,
    events,
    add,
    totals: () => counted.reduce(sum, noTotals()),
    async stop() {
      await Promise.all([...workers].map((worker) => worker.stop()))
    },
  }
}

interface WorkerParts {
  readonly child: ChildProcess
  readonly heard: EventEmitter
  readonly number: number
}

function workerOf({ child, heard, number }: WorkerParts): FleetWorker {
  async function end(how: () => void): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    how()
    await ended
  }
  return {
    number,
    name: `worker ${number}`,
    work: () => send(child, { kind: 'work' }),
    async burst(calls, path) {
      const over = once(heard, 'burst_over')
      send(child, { kind: 'burst', calls, path })
      await over
    },
    kill: () => end(() => child.kill('SIGKILL')),
    stop: () => end(() => send(child, { kind: 'stop' })),
  }
}

function send(child: ChildProcess, order: Order): void {
  // Whoever has ended meanwhile is told of by `exit`.
  child.send(order, () => {})
}

function sum(one: Totals, other: Totals): Totals {
  return {
    callsMade: one.callsMade + other.callsMade,
    callsFailed: one.callsFailed + other.callsFailed,
    tokenRequests: one.tokenRequests + other.tokenRequests,
    callsThatWaited: one.callsThatWaited + other.callsThatWaited,
    proofsRepeated: one.proofsRepeated + other.proofsRepeated,
  }
}
