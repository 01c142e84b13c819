import { type AccessToken, clientSecretBasic, createTokenManager, isEvertokenError, type TokenRequest } from 'evertoken'
import { createTestClock, settle } from './test-clock.ts'

/** Numbers in [0, 1) that follow from a seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What an interleaving is made of. */
export interface InterleavingOptions {
  readonly clients: number
  readonly seed: number
  /** Lets the server give one client's answer to another now and then, to see whether that is noticed. */
  readonly mixesUp?: boolean
}

/** Many clients of one manager whose calls and answers are put in an order by chance. */
export interface Interleaving extends AsyncDisposable {
  /**
   * Makes some calls, lets the server answer them in any order, with faults, and checks what each caller got.
   *
   * @throws Error that names the seed and the schedule.
   */
  runSchedule(n: number): Promise<void>
  readonly counts: Readonly<Record<'tokens' | 'requests' | 'faults' | 'aborted' | 'shared', number>>
}

/** A request that waits for its answer. */
interface Waiting {
  readonly shape: string
  readonly whose: string
  readonly respond: (response: Response) => void
}

const SERVERS = 4
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'
/** Requests that differ in one thing each, near enough to be taken for one another. */
const REQUESTS: readonly (TokenRequest | undefined)[] = [
  undefined,
  {},
  { scope: 'a' },
  { scope: 'a b' },
  { scope: 'b a' },
  { scope: 'a|b' },
  { resource: 'urn:a' },
  { resource: ['urn:a', 'urn:b'] },
  { resource: ['urn:b', 'urn:a'] },
  { parameters: { tenant: '1' } },
  { parameters: { tenant: '2' } },
  { parameters: { tenant: '1', audience: 'a' } },
  { parameters: { audience: 'urn:a' } },
  ...['a', 'A', 'a ', 'a|b', '\u00e9', 'e\u0301', ''].map(partitioned),
  { ...partitioned('a'), scope: 'a' },
]

/** The wire shows no partition; the assertion that the central service makes from the context does. */
function partitioned(partition: string): TokenRequest {
  return { partition, context: { partition } }
}

/** Everything that may shape a token, as text. */
function shapeText(parts: {
  readonly url: string
  readonly clientId: string
  readonly scope: string
  readonly resources: readonly string[]
  readonly parameters: readonly (readonly string[])[]
  readonly partition: string | null
}): string {
  const { url, clientId, scope, resources, parameters, partition } = parts
  const sorted = [scope.split(' ').sort(), [...resources].sort(), parameters.map(String).sort()]
  return encodeURIComponent(JSON.stringify([url, clientId, ...sorted, partition]))
}

/** What the server reads out of a request. */
function shapeOnWire(url: string, init: RequestInit | undefined): { readonly shape: string; readonly whose: string } {
  const form = new URLSearchParams(init?.body as URLSearchParams)
  const basic = new Headers(init?.headers).get('authorization')
  const clientId = basic === null ? String(form.get('client_id')) : String(atob(basic.slice(6)).split(':')[0])
  const own = ['grant_type', 'scope', 'resource', 'client_id', 'client_assertion_type', 'client_assertion']
  const shape = shapeText({
    url,
    clientId,
    scope: form.get('scope') ?? '',
    resources: form.getAll('resource'),
    parameters: [...form].filter(([name]) => !own.includes(name)),
    partition: form.get('client_assertion')?.slice('assertion:'.length) ?? null,
  })
  return { shape, whose: `${clientId} at ${url}` }
}

/** What is loaded when it is first needed takes time of its own, which no clock of ours waits for. */
async function loadEverything(): Promise<void> {
  const fetch = async (): Promise<Response> => Response.json({ access_token: 'a', token_type: 'Bearer' })
  const any = {
    tokenEndpoint: 'https://as.example/token',
    clientId: 'any',
    authentication: clientSecretBasic('secret'),
  }
  await createTokenManager({ clients: { any }, fetch }).getToken('any')
}

/** Opens one. */
export async function openInterleaving({
  clients: size,
  seed,
  mixesUp = false,
}: InterleavingOptions): Promise<Interleaving> {
  await loadEverything()
  const clock = createTestClock()
  const counts = { tokens: 0, requests: 0, faults: 0, aborted: 0, shared: 0 }
  const waiting: Waiting[] = []

  const definitions = Array.from({ length: size }, (_, i) => {
    // The same client ids at each server, and neighbours with other scopes, resources and parameters.
    const clientId = `client-${Math.floor(i / SERVERS)}`
    return {
      tokenEndpoint: `https://as-${i % SERVERS}.example/token`,
      clientId,
      authentication: clientSecretBasic(`secret-of-${clientId}`),
      scope: i % 3 === 0 ? 'a' : undefined,
      resource: i % 5 === 0 ? 'urn:a' : undefined,
      parameters: i % 7 === 0 ? { tenant: '1' } : undefined,
    }
  })
  const manager = createTokenManager({
    clients: Object.fromEntries(definitions.map((definition, i) => [`c${i}`, definition])),
    clock,
    clientAssertion: ({ request: { context } }) =>
      context === undefined ? undefined : { type: ASSERTION_TYPE, value: `assertion:${context.partition}` },
    fetch: (url, init) =>
      new Promise((respond, reject) => {
        counts.requests++
        waiting.push({ ...shapeOnWire(String(url), init), respond })
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))
      }),
  })

  /** What the token of a call has to name, from what was asked for alone. */
  function shapeOfCall(client: number, request: TokenRequest = {}): { readonly shape: string; readonly whose: string } {
    const definition = definitions[client]
    if (definition === undefined) throw new RangeError('no such client')
    const resource = request.resource ?? definition.resource ?? []
    const { clientId, tokenEndpoint: url } = definition
    const shape = shapeText({
      url,
      clientId,
      scope: request.scope ?? definition.scope ?? '',
      resources: [resource].flat(),
      parameters: Object.entries({ ...definition.parameters, ...request.parameters }),
      partition: request.partition ?? null,
    })
    return { shape, whose: `${clientId} at ${url}` }
  }

  async function runSchedule(n: number): Promise<void> {
    const random = seededRandom(seed + Math.imul(n, 0x9e3779b1))
    const below = (limit: number): number => Math.floor(random() * limit)
    const fault = (text: string): Error => new Error(`seed ${seed}, schedule ${n}: ${text}`)
    const hot = Array.from({ length: 1 + below(2) }, () => below(size))
    // Few of them, so that calls meet.
    const requests = Array.from({ length: 3 }, () => REQUESTS[below(REQUESTS.length)])
    const got: AccessToken[] = []
    const faults: Error[] = []
    const calls = new Set<Promise<void>>()

    function answerOne(): void {
      const [next] = waiting.splice(below(waiting.length), 1)
      if (next === undefined) return
      const swapped = mixesUp && random() < 0.05 ? waiting[0] : undefined
      const { shape } = swapped ?? next
      if (random() < 0.1) {
        counts.faults++
        const error_description = `refused for ${next.whose}`
        next.respond(Response.json({ error: 'server_error', error_description }, { status: 500 }))
        return
      }
      const access_token = `${shape}.${counts.requests}`
      next.respond(Response.json({ access_token, token_type: 'Bearer', expires_in: 60 + below(3600) }))
    }

    async function call(): Promise<void> {
      const client = hot[below(hot.length)] ?? 0
      const request = requests[below(requests.length)]
      const { shape, whose } = shapeOfCall(client, request)
      const name = `c${client}`
      const chance = random()
      if (chance < 0.03) return manager.delete(name, chance < 0.01 ? undefined : request)
      const abort = chance < 0.1 ? new AbortController() : undefined
      const reason = new Error(whose)
      const options = {
        signal: abort?.signal,
        forceRenewal: chance > 0.95,
        // Also a token of somebody else, which says nothing about one's own.
        rejected: chance > 0.8 && chance < 0.9 ? got[below(got.length)] : undefined,
      }
      const wanted =
        random() < 0.5 ? manager.getToken(name, request, options) : manager.source(name, request).getToken(options)
      if (abort !== undefined) (random() < 0.5 ? queueMicrotask : setImmediate)(() => abort.abort(reason))
      try {
        const token = await wanted
        const named = token.accessToken.slice(0, token.accessToken.lastIndexOf('.'))
        if (named !== shape) throw fault(`${whose} asked for ${shape}, got ${named}`)
        counts.tokens++
        if (got.includes(token)) counts.shared++
        got.push(token)
      } catch (error) {
        if (abort?.signal.aborted && error === reason) counts.aborted++
        else if (!isEvertokenError(error)) throw error
        else if (error.code === 'circuit_open') return
        else if (!('errorDescription' in error && error.errorDescription === `refused for ${whose}`)) {
          throw fault(`${whose} got the failure of another: ${error.message}`)
        }
      }
    }

    for (let left = 4 + below(7); left > 0; left--) {
      const running: Promise<void> = call().then(
        () => void calls.delete(running),
        (error) => {
          calls.delete(running)
          faults.push(error)
        },
      )
      calls.add(running)
      if (random() < 0.2) await settle()
      while (waiting.length > 0 && random() < 0.3) answerOne()
    }
    while (calls.size > 0) {
      await settle()
      // Nobody waits for the server: for a pause between tries, then.
      if (waiting.length === 0) await clock.advance(50)
      while (waiting.length > 0 && random() < 0.8) answerOne()
    }
    if (faults[0] !== undefined) throw faults[0]
    await clock.advance(below(3) === 0 ? below(4_000_000) : 1000)
    while (waiting.length > 0) answerOne()
  }

  return {
    runSchedule,
    counts,
    async [Symbol.asyncDispose]() {
      const closed = manager.close()
      while (waiting.length > 0) {
        for (const { respond } of waiting.splice(0)) respond(new Response(null, { status: 400 }))
        await settle()
      }
      await closed
    },
  }
}
