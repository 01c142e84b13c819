import { once } from 'node:events'
import type { Stage } from './stage.ts'
import type { FleetWorker } from './workers.ts'

/** So long at most until all workers have another token: the lifetime of one, and time to spare. */
const PATIENCE_MS = 15_000
const REFUSED_CALLS = 50

/** All workers begin to call at the same time, before there is a token. */
export async function coldStart(stage: Stage): Promise<void> {
  async function act(): Promise<void> {
    for (const worker of stage.fleet.workers) worker.work()
  }
  await inOneLifetime(stage, { requests: 1, act })
}

/** One round of what may happen to a fleet that works. */
export async function fleetRound(stage: Stage): Promise<void> {
  await inOneLifetime(stage, { requests: 1 })
  await refuse(stage)
  await killWhoAsks(stage)
  await killRedis(stage)
}

interface Expectation {
  /** As many token requests as there may be until all workers have another token. */
  readonly requests: number
  /** What the requests are told to be for. Default: for the workers that there are. */
  readonly purpose?: string
  /** Makes the workers want another token. Default: they wait until theirs gets old. */
  readonly act?: (signal: AbortSignal) => Promise<unknown>
  /** Whether Redis is there to find tokens in. Default: it is. */
  readonly isShared?: boolean
}

/** Waits until all workers have another token than now, and tells how many token requests that took. */
async function inOneLifetime(
  stage: Stage,
  { requests: most, act, isShared = true, purpose }: Expectation,
): Promise<void> {
  const { desk, use, fleet, report, signal } = stage
  const before = { requests: desk.requests, tokens: use.snapshot() }
  const asking = new Set<FleetWorker>()
  const onAsking = (worker: FleetWorker): void => void asking.add(worker)
  fleet.events.on('asking', onAsking)
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)])
  try {
    await act?.(patience)
    await use.untilOthers(fleet.workers, before.tokens, patience)
  } catch (error) {
    if (signal.aborted || !patience.aborted) throw error
    throw new Error(`expected another token for each worker within ${PATIENCE_MS / 1000} s, got none`)
  } finally {
    fleet.events.off('asking', onAsking)
  }
  const found = [...fleet.workers].filter((worker) => !asking.has(worker))
  if (isShared && found.length > 0) report.line(namesOf(found), 'found that token in Redis', 'good')
  const requests = desk.requests - before.requests
  const text = `${requests} token request${requests === 1 ? '' : 's'} ${purpose ?? `for ${fleet.workers.size} workers`}`
  if (requests >= 1 && requests <= most) report.line('authorization server', text, 'good')
  else stage.mistake('authorization server', `${text}, expected ${most}`)
}

/** The token is refused to fifty calls that all workers make at the same time. */
async function refuse(stage: Stage): Promise<void> {
  const { api, use, fleet, report } = stage
  async function act(): Promise<void> {
    const before = api.answers.get(401) ?? 0
    report.line('catalog API', `refuses the token in use, to ${REFUSED_CALLS} calls at the same time`, 'bad')
    const onComplete = (): void => {
      for (const jti of use.snapshot().values()) api.reject(jti)
    }
    use.gather({ path: '/stock', requests: REFUSED_CALLS, onComplete })
    const shares = [...fleet.workers].map((worker, index, { length }) =>
      worker.burst(Math.floor((REFUSED_CALLS + index) / length), 'stock'),
    )
    await Promise.all(shares)
    const refused = (api.answers.get(401) ?? 0) - before
    report.line('catalog API', `has refused ${refused}, and got each of them once more with another token`, 'good')
  }
  await inOneLifetime(stage, { requests: 1, act, purpose: `after ${REFUSED_CALLS} refusals` })
}

/** A worker dies between its request and the answer; another one starts later. */
async function killWhoAsks(stage: Stage): Promise<void> {
  const { desk, fleet, report } = stage
  async function act(signal: AbortSignal): Promise<void> {
    const request = desk.holdNext(signal)
    const [[asking]] = await Promise.all([once(fleet.events, 'asking', { signal }), request.arrived])
    const worker: FleetWorker = asking
    await worker.kill()
    report.line(worker.name, 'asks for a token, and is killed before the answer', 'bad')
    request.release()
  }
  const purpose = `for ${fleet.workers.size - 1} workers and the one that was killed`
  await inOneLifetime(stage, { requests: 2, act, purpose })
  await startLate(stage)
}

/** A worker that comes later finds what there is. */
async function startLate({ fleet, use, report, signal, mistake }: Stage): Promise<void> {
  const added = await fleet.add()
  let requests = 0
  const onAsking = (worker: FleetWorker): void => {
    if (worker === added) requests++
  }
  fleet.events.on('asking', onAsking)
  added.work()
  await use.untilOthers([added], new Map(), signal)
  fleet.events.off('asking', onAsking)
  if (requests === 0) report.line(added.name, 'starts, and finds the token in Redis', 'good')
  else mistake(added.name, 'starts, and asks for a token of its own')
}

/** Redis is gone for as long as a token lives, and comes back with nothing in it. */
async function killRedis(stage: Stage): Promise<void> {
  const { redis, fleet, report } = stage
  if (redis.own === undefined) {
    report.line('Redis', 'is not the demo’s own, and stays up')
    return
  }
  const { kill, start } = redis.own
  async function act(): Promise<void> {
    await kill()
    report.line('Redis', 'is killed', 'bad')
  }
  await inOneLifetime(stage, { requests: fleet.workers.size, act, isShared: false })
  await start()
  report.line('Redis', 'is back, with nothing in it', 'good')
  await inOneLifetime(stage, { requests: 1 })
}

function namesOf(workers: readonly FleetWorker[]): string {
  const numbers = workers.map(({ number }) => number).join(', ')
  return `worker${workers.length === 1 ? '' : 's'} ${numbers}`
}
