import { authorizedFetch, clientSecretBasic, createTokenManager, type Fetch } from 'evertoken'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../support/test-clock.ts'

const MIB = 1024 * 1024
/** Bodies are read up to 1 MiB, so the long text is a little less; the short one is a quarter of it. */
const LONG = MIB - 1024
const SHORT = LONG / 4
/** Four times as long takes four times the time where it is linear, and sixteen times where it is not. */
const MOST = 9
/** What is over so soon needs no comparison: the clock is not that fine. */
const SOON_MS = 10

const SECRET = 'a-long-enough-secret-of-36-character'

type Answer = (size: number) => Response

function json(status: number, members: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(members), { status, headers: { 'content-type': 'application/json', ...headers } })
}

function token(members: object, headers: Record<string, string> = {}): Response {
  return json(200, { access_token: 'a', token_type: 'Bearer', expires_in: 3600, ...members }, headers)
}

const filled = (text: string, size: number): string => text.repeat(Math.ceil(size / text.length)).slice(0, size)

/** What an authorization server may say at length. */
const answers: readonly { readonly name: string; readonly answer: Answer }[] = [
  { name: 'Retry-After of digits', answer: (size) => json(429, {}, { 'retry-after': filled('9', size) }) },
  { name: 'Retry-After of blanks', answer: (size) => json(429, {}, { 'retry-after': `1${filled(' ', size)}x` }) },
  { name: 'Retry-After like a date', answer: (size) => json(429, {}, { 'retry-after': filled('Mon, 01 (', size) }) },
  { name: 'Retry-After of brackets', answer: (size) => json(429, {}, { 'retry-after': filled('(', size) }) },
  { name: 'Date', answer: (size) => token({}, { date: filled('1 Jan 2026 ', size) }) },
  { name: 'content type', answer: (size) => token({}, { 'content-type': `application/${filled('a', size)}+json` }) },
  {
    name: 'content type that never ends',
    answer: (size) => token({}, { 'content-type': filled('application/', size) }),
  },
  { name: 'scope of one value', answer: (size) => token({ scope: filled('a', size) }) },
  { name: 'scope of many values', answer: (size) => token({ scope: filled('a ', size) }) },
  { name: 'scope of blanks', answer: (size) => token({ scope: filled(' ', size) }) },
  { name: 'scope of quotes', answer: (size) => token({ scope: filled('"', size / 2) }) },
  { name: 'token type', answer: (size) => token({ token_type: filled('bearer ', size) }) },
  { name: 'access token', answer: (size) => token({ access_token: filled('a', size) }) },
  { name: 'expires_in', answer: (size) => token({ expires_in: filled('9', size) }) },
  { name: 'error', answer: (size) => json(400, { error: filled('invalid_', size) }) },
  { name: 'error_description', answer: (size) => json(400, { error: 'x', error_description: filled('no ', size) }) },
  {
    name: 'error_description of control characters',
    answer: (size) => json(400, { error: 'x', error_description: filled('a\u202e', size / 4) }),
  },
  {
    name: 'error_description that repeats the secret',
    answer: (size) => json(400, { error: 'x', error_description: filled(SECRET, size) }),
  },
  {
    name: 'error_description that repeats the beginning of the secret',
    answer: (size) => json(400, { error: 'x', error_description: filled(`${SECRET.slice(0, 20)} `, size) }),
  },
  { name: 'error_uri', answer: (size) => json(400, { error: 'x', error_uri: filled('https://', size) }) },
  { name: 'members', answer: (size) => token(Object.fromEntries(numbers(size / 16).map((n) => [`m${n}`, n]))) },
  { name: 'a list', answer: (size) => token({ list: numbers(size / 8) }) },
  { name: 'backslashes', answer: (size) => token({ text: filled('\\"', size / 4) }) },
  { name: 'brackets', answer: (size) => new Response(filled('[', size), { headers: JSON_TYPE }) },
]
const JSON_TYPE = { 'content-type': 'application/json' }

const numbers = (count: number): readonly number[] => Array.from({ length: Math.floor(count) }, (_, n) => n)

/** The time of the fastest of some runs, in milliseconds. */
async function fastest(work: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let run = 0; run < 5; run++) {
    const startedAt = performance.now()
    await work()
    best = Math.min(best, performance.now() - startedAt)
  }
  return best
}

/** How much longer the long text takes than the short one. */
async function growth(work: (size: number) => () => Promise<unknown>): Promise<number> {
  // What is made for the answer is made before the clock runs.
  const long = await fastest(work(LONG))
  if (long < SOON_MS) return 0
  return long / (await fastest(work(SHORT)))
}

function manage(fetch: Fetch) {
  const client = { tokenEndpoint: 'https://as.example/token', clientId: 'machine', scope: 'a b' }
  const clients = { api: { ...client, authentication: clientSecretBasic(SECRET) } }
  return createTokenManager({ clients, fetch, clock: createTestClock() })
}

describe('A8.01 texts of a megabyte', () => {
  test.each(answers)('A8.01 $name: four times as long takes about four times as long', async ({ answer }) => {
    const work = (size: number) => {
      const response = answer(size)
      return async () => {
        const tokens = manage(async () => response.clone())
        await tokens.getToken('api').catch(() => {})
        await tokens.close()
      }
    }
    expect(await growth(work)).toBeLessThan(MOST)
  })

  const challenges: readonly { readonly name: string; readonly text: string }[] = [
    { name: 'many schemes', text: 'Bearer, ' },
    { name: 'many parameters', text: 'Bearer a="b", ' },
    { name: 'a quoted string that does not end', text: 'Bearer a="' },
    { name: 'backslashes', text: '\\"' },
    { name: 'commas', text: ',' },
    { name: 'blanks', text: ' ' },
    { name: 'equals signs', text: 'Bearer =' },
  ]
  test.each(challenges)(
    'A8.01 a challenge of $name: four times as long takes about four times as long',
    async ({ text }) => {
      const work = (size: number) => {
        const headers = { 'www-authenticate': filled(text, size) }
        const api: Fetch = async () => new Response(null, { status: 401, headers })
        return async () => {
          const tokens = manage(async () => token({}))
          const source = tokens.authorizer('api', { origins: ['https://api.example'] })
          const response = await authorizedFetch(source, { fetch: api })('https://api.example/')
          expect(response.status).toBe(401)
          await tokens.close()
        }
      }
      expect(await growth(work)).toBeLessThan(MOST)
    },
  )

  const requests: readonly { readonly name: string; readonly request: (size: number) => object }[] = [
    { name: 'scope of many values', request: (size) => ({ scope: filled('a ', size).trim() }) },
    { name: 'scope with a blank too many', request: (size) => ({ scope: `${filled('a ', size)} ` }) },
    { name: 'scope with a quote at its end', request: (size) => ({ scope: `${filled('a ', size)}"` }) },
    { name: 'resource', request: (size) => ({ resource: `https://api.example/${filled('a/../', size)}` }) },
    { name: 'resources', request: (size) => ({ resource: numbers(size / 16).map((n) => `urn:a:${n}`) }) },
    { name: 'parameter', request: (size) => ({ parameters: { a: filled('&=%', size) } }) },
    {
      name: 'parameters',
      request: (size) => ({ parameters: Object.fromEntries(numbers(size / 16).map((n) => [`p${n}`, '1'])) }),
    },
    { name: 'partition', request: (size) => ({ partition: filled('\ud800"', size) }) },
  ]
  test.each(requests)(
    'A8.01 A8.02 a request with a long $name: four times as long takes about four times as long',
    async ({ request }) => {
      const work = (size: number) => {
        const made = request(size)
        return async () => {
          const tokens = manage(async () => token({ scope: 'a b' }))
          await tokens.getToken('api', made).catch(() => {})
          await tokens.close()
        }
      }
      expect(await growth(work)).toBeLessThan(MOST)
    },
  )
})
