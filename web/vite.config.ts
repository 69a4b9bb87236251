import { defineConfig } from 'vite';

export default defineConfig({
  // The server embeds public itself: the page that needs no Node has the same icon.
  build: {
    outDir: 'dist/page',
    copyPublicDir: false,
    target: 'es2022',
    assetsInlineLimit: 0, // the page's policy allows no data: URLs
    modulePreload: { polyfill: false },
  },
  // `npm run dev` beside a server on its default port.
  server: {
    proxy: { '/connection/websocket': { target: 'http://localhost:8080', ws: true } },
  },
});
