import { createTokenManager } from 'evertoken'
import { type Figure, median } from './figures.ts'
import { clientAt, startLoopback } from './loopback.ts'
import { interleaved, ratios } from './rounds.ts'

const AT_ONCE = 64
const REQUESTS = 1_000

/** What `fetch` costs more when it carries tokens, in time of this process's processors. */
export async function wrappedFetch(): Promise<readonly Figure[]> {
  const { tokenEndpoint, origin, close } = await startLoopback()
  const manager = createTokenManager({ clients: { main: clientAt(tokenEndpoint) } })
  const { accessToken } = await manager.getToken('main')
  const wrapped = manager.fetch('main', { baseUrl: origin })
  const url = `${origin}/api`
  const init = { headers: { authorization: `Bearer ${accessToken}` } }
  const rates = await interleaved(
    {
      ours: () => requestsPerSecond(() => wrapped(url)),
      bare: () => requestsPerSecond(() => fetch(url)),
      withHeader: () => requestsPerSecond(() => fetch(url, init)),
    },
    { turns: 39, warmUps: 5 },
  )
  await close()
  const beside = (what: string, floor: readonly number[]): Figure => {
    const ratio = median(ratios(rates.ours, floor))
    return {
      what,
      ours: `${median(rates.ours).toFixed(0)} /s`,
      floor: `${median(floor).toFixed(0)} /s`,
      ratio,
      limit: 'ratio 0.95',
      isWithin: ratio >= 0.95,
    }
  }
  return [
    beside('fetch with tokens beside bare fetch(url)', rates.bare),
    beside('fetch with tokens beside fetch with the header', rates.withHeader),
  ]
}

/** Requests per second of processor time. */
async function requestsPerSecond(send: () => Promise<Response>): Promise<number> {
  let left = REQUESTS
  async function lane(): Promise<void> {
    while (left-- > 0) {
      const response = await send()
      await response.json()
    }
  }
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
  const { user, system } = process.cpuUsage(before)
  return REQUESTS / ((user + system) / 1e6)
}
