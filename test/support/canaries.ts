import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import { expect } from 'vitest'

/** A secret that is found again wherever it turns up, with characters that every encoding changes. */
export function canary(name: string): string {
  return `${createHash('sha256').update(name).digest('hex').slice(0, 32)}"\\+/&=% é~${name}`
}

/** A secret that can be an access token, or part of a URL. */
export function plainCanary(name: string): string {
  return createHash('sha256').update(name).digest('hex')
}

const LEAST_LENGTH = 16

const known = new Map<string, readonly string[]>()

/** Forms in which a secret may come to light, its first 16 characters among them. */
function formsOf(secret: string): readonly string[] {
  const forms = known.get(secret) ?? makeForms(secret)
  known.set(secret, forms)
  return forms
}

function makeForms(secret: string): readonly string[] {
  const bytes = Buffer.from(secret)
  const form = new URLSearchParams({ v: secret }).toString().slice(2)
  const all = [
    secret.slice(0, LEAST_LENGTH),
    // Behind a client id, as HTTP Basic has it: base64 begins anew with every third byte.
    ...[0, 1, 2].map((skip) => bytes.subarray(skip, skip + 18).toString('base64')),
    bytes.toString('base64'),
    bytes.toString('base64url'),
    encodeURIComponent(secret),
    form,
    form.toLowerCase(),
    JSON.stringify(secret).slice(1, -1),
  ]
  return [...new Set(all)]
}

/** Every text that somebody who has a value can print, log or send on. */
export function textsOf(value: unknown): readonly string[] {
  const texts: string[] = []
  const attempt = (read: () => unknown): void => {
    try {
      texts.push(String(read()))
    } catch {
      // What cannot be printed in this way is not printed in this way.
    }
  }
  for (const customInspect of [true, false]) {
    for (const showHidden of [true, false]) {
      attempt(() => inspect(value, { depth: 20, showHidden, customInspect, maxStringLength: null }))
    }
  }
  attempt(() => value)
  attempt(() => JSON.stringify(value))
  attempt(() => JSON.stringify(value, Object.getOwnPropertyNames(Object(value))))
  attempt(() => inspect(structuredClone(value), { depth: 20, showHidden: true }))
  attempt(() => inspect(Object.entries(Object(value)), { depth: 20 }))
  attempt(() => inspect({ ...Object(value) }, { depth: 20 }))
  for (let error = value, depth = 0; error instanceof Error && depth < 10; error = error.cause, depth++) {
    const { message, stack } = error
    texts.push(message, String(stack))
    for (const name of Reflect.ownKeys(error)) attempt(() => Reflect.get(error as Error, name))
  }
  return texts
}

/** Fails when one of the secrets is in one of the values, whichever way they are printed. */
export function expectNoCanary(values: readonly unknown[], secrets: readonly string[]): void {
  const forms = secrets.filter((secret) => secret.length >= LEAST_LENGTH).flatMap(formsOf)
  // Most texts of a value are the same one.
  for (const text of new Set(values.flatMap(textsOf))) {
    const found = forms.find((form) => text.includes(form))
    if (found !== undefined) expect.fail(`"${found}" came to light in: ${text.slice(0, 2000)}`)
  }
}
