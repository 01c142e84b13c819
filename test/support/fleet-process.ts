import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import type { ToxicProxy } from './toxic-proxy.ts'

const program = fileURLToPath(new URL('programs/fleet-process.mjs', import.meta.url))

/** What a process is started with. */
export interface ProcessSettings {
  readonly name: string
  /** Of the authorization server and the API. */
  readonly origin: string
  readonly clientIds: readonly string[]
  /** By what it shares store and lock: one of two clients of Redis, or another kind. */
  readonly kind: 'ioredis' | 'redis' | 'postgres' | 'file'
  /** The port of a server on this machine, or a folder. */
  readonly place: string | number
  /** That entries in Redis are encrypted with. */
  readonly key: string
  readonly leaseMs: number
  /** How far its wall clock is ahead from the start. */
  readonly offsetMs: number
  /** Whether it waits for its connection before it says that it is there. */
  readonly awaitsConnection: boolean
}

/** What came of calls. */
export interface Report {
  readonly calls: number
  /** How many calls failed, by the code of the error. */
  readonly failures: Readonly<Record<string, number>>
  readonly longestMs: number
  /** When each token was handed out last, by this machine's clock. */
  readonly tokens: Readonly<Record<string, number>>
  readonly events: readonly { readonly name: string }[]
  /** How often store or lock did not answer in time. */
  readonly misses: number
  /** For how long the machine let the process stand at the most, since its start. */
  readonly stallMs: number
}

/** How calls are made. */
export interface CallOptions {
  readonly via?: 'getToken' | 'fetch'
  readonly clientId?: string
  readonly partition?: string
}

/** A process, or a thread, with a manager and a connection of its own. */
export interface FleetProcess {
  readonly name: string
  /** What lies between it and its store, where that was asked for. */
  readonly network: ToxicProxy | undefined
  /** Makes so many calls at once; resolves with what came of them. */
  call(calls: number, options?: CallOptions): Promise<Report>
  /** Makes calls at a rate from now on. */
  load(perSecond: number, options?: Pick<CallOptions, 'via'>): Promise<void>
  /** Makes no calls any more, but those that were asked for. */
  rest(): Promise<void>
  /** What came of the load since the last report, when all of that has ended; and all events. */
  report(): Promise<Report>
  /** Sets its wall clock. */
  leap(ms: number): Promise<void>
  /** What a call gets that comes after the closing; answered while it closes. */
  readonly closed: Promise<unknown>
  /** The exit code. */
  readonly ended: Promise<number | null>
  /** Sends a signal, if it is a process. */
  signal(signal: 'SIGTERM' | 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): void
  /** Ends it at once, as `kill -9` does. */
  kill(): Promise<void>
}

/** Starts a process of its own. */
export async function startProcess(settings: ProcessSettings, network?: ToxicProxy): Promise<FleetProcess> {
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  return converse(child, {
    name: settings.name,
    network,
    ended,
    signal: (signal) => void child.kill(signal),
    kill: () => kill(child, ended),
  })
}

async function kill(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  child.kill('SIGKILL')
  await ended
}

/** Starts the same in a thread of this process. */
export async function startThread(settings: ProcessSettings): Promise<FleetProcess> {
  const worker = new Worker(program, { argv: [JSON.stringify(settings)], stdin: true, stdout: true })
  const { stdin, stdout } = worker
  if (stdin === null) throw new Error('expected the input of a thread, got none')
  return converse(
    { stdin, stdout },
    {
      name: settings.name,
      network: undefined,
      ended: once(worker, 'exit').then(([code]) => code as number),
      signal: () => {},
      kill: async () => void (await worker.terminate()),
    },
  )
}

type Body = Pick<FleetProcess, 'name' | 'network' | 'ended' | 'signal' | 'kill'>

async function converse(
  { stdin, stdout }: { readonly stdin: Writable; readonly stdout: Readable },
  body: Body,
): Promise<FleetProcess> {
  const waiting = new Map<unknown, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let count = 0
  const answerTo = (id: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => waiting.set(id, { resolve, reject }))

  createInterface({ input: stdout }).on('line', (line) => {
    const { id, answer } = JSON.parse(line)
    waiting.get(id)?.resolve(answer)
    waiting.delete(id)
  })
  // Whoever still waits for a process that was killed is told, and need not listen.
  stdin.on('error', () => {})
  void body.ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`${body.name}: expected an answer, got its end`))
  })
  function ask(command: string, options: object = {}): Promise<unknown> {
    const answer = answerTo(++count)
    answer.catch(() => {})
    stdin.write(`${JSON.stringify({ id: count, command, ...options })}\n`)
    return answer
  }

  const closed = answerTo('closed')
  closed.catch(() => {})
  await answerTo(0)
  return {
    ...body,
    closed,
    call: async (calls, options) => (await ask('call', { calls, ...options })) as Report,
    load: async (perSecond, options) => void (await ask('load', { perSecond, ...options })),
    rest: async () => void (await ask('rest')),
    report: async () => (await ask('report')) as Report,
    leap: async (ms) => void (await ask('leap', { ms })),
  }
}
