import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^evertoken\/(.+)$/, replacement: source('$1/index.ts') },
      { find: /^evertoken$/, replacement: source('index.ts') },
    ],
  },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/support/build-once.ts'],
    testTimeout: 30_000,
    dangerouslyIgnoreUnhandledErrors: false,
    // A snapshot that is missing fails like one that differs; `--update` writes both.
    update: 'none',
  },
})
