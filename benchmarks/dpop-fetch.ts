import { authorizedFetch, createTokenManager } from 'evertoken'
import { type Figure, median } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { interleaved, ratios } from './rounds.ts'

const AT_ONCE = 64
const REQUESTS = 2_000
const NONCE_MS = 2_000
/** Enough for several nonces. */
const WATCHED_REQUESTS = 12_000

/** Requests with proofs to an API that demands a nonce and changes it every two seconds. */
export async function dpopFetch(): Promise<readonly Figure[]> {
  const { tokenEndpoint, origin, close } = await startLoopback({ nonceMs: NONCE_MS })
  const manager = createTokenManager({ clients: { main: { ...clientAt(tokenEndpoint), dpop: true } } })
  const proving = manager.fetch('main', { baseUrl: origin })
  const rates = await interleaved(
    {
      ours: () => rateOf(() => proving(`${origin}/api`)),
      bare: () => rateOf(() => fetch(`${origin}/open`)),
    },
    { turns: 15, warmUps: 3 },
  )
  const watched = await watch(manager.authorizer('main', { baseUrl: origin }), `${origin}/api`)
  await close()
  const beside = (what: string, rate: keyof Rate, limit: number): Figure => {
    const ours = rates.ours.map((round) => round[rate])
    const floor = rates.bare.map((round) => round[rate])
    const ratio = median(ratios(ours, floor))
    return {
      what,
      ours: `${median(ours).toFixed(0)} /s`,
      floor: `${median(floor).toFixed(0)} /s`,
      ratio,
      limit: `ratio ${limit}`,
      isWithin: ratio >= limit,
    }
  }
  return [
    beside('fetch with proofs beside bare fetch(url)', 'perSecond', 0.69),
    beside('the same for a second of processor time', 'perProcessorSecond', 0.69),
    ...figuresOf(watched),
  ]
}

interface Rate {
  readonly perSecond: number
  readonly perProcessorSecond: number
}

async function rateOf(send: () => Promise<Response>): Promise<Rate> {
  // The nonce may have changed while the other one's turn was; what is kept going knows it.
  await sendAll(1, send)
  const startedAt = performance.now()
  const before = process.cpuUsage()
  await sendAll(REQUESTS, send)
  const { user, system } = process.cpuUsage(before)
  return {
    perSecond: REQUESTS / ((performance.now() - startedAt) / 1e3),
    perProcessorSecond: REQUESTS / ((user + system) / 1e6),
  }
}

/** Keeps 64 requests going. */
async function sendAll(requests: number, send: (request: number) => Promise<Response>): Promise<void> {
  let sent = 0
  async function lane(): Promise<void> {
    while (sent < requests) {
      const response = await send(sent++)
      if (response.status !== 200) throw new Error(`expected status 200, got ${response.status}`)
      await response.json()
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, requests) }, lane))
}

/** What came of requests whose responses were looked at on their way. */
interface Watched {
  readonly nonces: number
  readonly challenges: number
  /** Of these: to requests that began when a response with that very nonce had come. */
  readonly needless: number
}

async function watch(authorizer: Parameters<typeof authorizedFetch>[0], api: string): Promise<Watched> {
  const nonces = new Set<number>()
  const newestAtStart = new Map<string, number>()
  let newest = 0
  let challenges = 0
  let needless = 0
  const watchedFetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init)
    const nonce = Number.parseInt(response.headers.get('dpop-nonce') ?? '', 10)
    if (response.status === 401) {
      challenges++
      if ((newestAtStart.get(String(input)) ?? 0) >= nonce) needless++
    }
    nonces.add(nonce)
    newest = Math.max(newest, nonce)
    return response
  }
  const proving = authorizedFetch(authorizer, { fetch: watchedFetch })
  await sendAll(WATCHED_REQUESTS, (request) => {
    const url = `${api}?request=${request}`
    newestAtStart.set(url, newest)
    return proving(url)
  })
  return { nonces: nonces.size, challenges, needless }
}

function figuresOf({ nonces, challenges, needless }: Watched): readonly Figure[] {
  const each = challenges / nonces
  return [
    {
      what: `challenges for each of ${nonces} nonces, ${AT_ONCE} requests at once`,
      ours: each.toFixed(1),
      limit: String(AT_ONCE),
      isWithin: each <= AT_ONCE,
    },
    {
      what: 'challenges to requests that began when that nonce had come',
      ours: String(needless),
      limit: '0',
      isWithin: needless === 0,
    },
  ]
}
