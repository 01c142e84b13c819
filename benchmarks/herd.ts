import { createTokenManager } from 'evertoken'
import { type Figure, median } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { collect, interleaved, ratios } from './rounds.ts'

const CALLERS = 10_000
const TURNS = 61

type GetToken = () => Promise<unknown>

/** What one would write by hand: whoever comes first asks, everybody waits for the same promise. */
function sharedPromise(tokenEndpoint: string): GetToken {
  let promise: Promise<unknown> | undefined
  return () => {
    promise ??= post(tokenEndpoint)
    return promise
  }
}

async function post(tokenEndpoint: string): Promise<unknown> {
  const response = await fetch(tokenEndpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('bench:not-a-secret')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  })
  const { access_token: accessToken, expires_in: expiresIn } = (await response.json()) as Record<string, unknown>
  return { accessToken, expiresAt: Date.now() + Number(expiresIn) * 1000 }
}

/** Ten thousand callers who come at once, before there is a token. */
export async function herd(): Promise<readonly Figure[]> {
  const { tokenEndpoint, tokenRequests, close } = await startLoopback()
  const makers = {
    ours: (): GetToken => {
      const manager = createTokenManager({ clients: { main: clientAt(tokenEndpoint) } })
      return () => manager.getToken('main')
    },
    floor: () => sharedPromise(tokenEndpoint),
  }
  let mostRequests = 0
  const timed = (make: () => GetToken) => async () => {
    const before = await tokenRequests()
    const getToken = make()
    const startedAt = performance.now()
    await stampede(getToken)
    const elapsed = performance.now() - startedAt
    mostRequests = Math.max(mostRequests, (await tokenRequests()) - before)
    return elapsed
  }
  const times = await interleaved(
    { ours: timed(makers.ours), floor: timed(makers.floor) },
    { turns: TURNS, warmUps: 5 },
  )
  const heap = await interleaved({ ours: () => heapOf(makers.ours), floor: () => heapOf(makers.floor) }, { turns: 9 })
  await close()
  const ratio = median(ratios(times.ours, times.floor))
  const milliseconds = (numbers: readonly number[]): string => `${median(numbers).toFixed(1)} ms`
  const megabytes = (numbers: readonly number[]): string => `${(median(numbers) / 1e6).toFixed(1)} MB`
  return [
    {
      what: 'herd of 10,000: token requests',
      ours: String(mostRequests),
      floor: '1',
      limit: '1',
      isWithin: mostRequests === 1,
    },
    {
      what: 'herd of 10,000: time until all have it',
      ours: milliseconds(times.ours),
      floor: milliseconds(times.floor),
      ratio,
      limit: 'ratio 1.3',
      isWithin: ratio <= 1.3,
    },
    {
      what: 'herd of 10,000: heap while they wait',
      ours: megabytes(heap.ours),
      floor: megabytes(heap.floor),
      limit: '20 MB',
      isWithin: median(heap.ours) <= 20e6,
    },
  ]
}

async function stampede(getToken: GetToken): Promise<void> {
  const callers: Promise<unknown>[] = []
  for (let caller = 0; caller < CALLERS; caller++) callers.push(getToken())
  await Promise.all(callers)
}

/** The heap at its fullest, beyond what there was before: when all wait, or when all have just been served. */
async function heapOf(make: () => GetToken): Promise<number> {
  const getToken = make()
  collect()
  const before = process.memoryUsage().heapUsed
  const served = stampede(getToken)
  const waiting = process.memoryUsage().heapUsed
  await served
  return Math.max(waiting, process.memoryUsage().heapUsed) - before
}
