// What three.js shows of a glTF file: node three_view.mjs FILE OUT.png '{"jawOpen": 1}'; prints what it has loaded, JSON.
import { createServer } from 'node:http';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const [file, out, weights = '{}'] = process.argv.slice(2);
const three = join(dirname(fileURLToPath(import.meta.url)), '..', 'node_modules', 'three');
const page_html = `<!doctype html><body style="margin:0"><script type="importmap">{"imports": {"three": "/build/three.module.js",
"three/addons/": "/examples/jsm/"}}</script><script type="module">
import * as THREE from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
try {
  const { scene } = await new GLTFLoader().loadAsync('/file');
  const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
  renderer.setSize(512, 512);
  document.body.append(renderer.domElement);
  const world = new THREE.Scene();
  world.background = new THREE.Color(0.4, 0.4, 0.4);
  const sun = new THREE.DirectionalLight(0xffffff, 2);
  sun.position.set(0.5, 1, 1.5);
  world.add(scene, sun, new THREE.AmbientLight(0xffffff, 1.2));
  const weights = ${weights};
  const meshes = {};
  let head = null;
  scene.traverse((one) => {
    if (!one.isMesh) return;
    const { material } = one;
    meshes[one.name] = { keys: Object.keys(one.morphTargetDictionary ?? {}).length, bones: one.skeleton?.bones.length ?? 0,
      map: !!material.map, normalMap: !!material.normalMap, roughnessMap: !!material.roughnessMap,
      transmission: material.transmission ?? 0, clearcoat: material.clearcoat ?? 0, ior: material.ior ?? 0,
      opacity: material.opacity, emissive: material.emissive.getHex() };
    if (one.name.endsWith('_head')) head = one;
  });
  scene.updateMatrixWorld(true);
  const middle = new THREE.Box3().setFromObject(head).getCenter(new THREE.Vector3());  // at rest
  scene.traverse((one) => {
    for (const [name, value] of Object.entries(weights))
      if (one.morphTargetDictionary && name in one.morphTargetDictionary)
        one.morphTargetInfluences[one.morphTargetDictionary[name]] = value;
  });
  const camera = new THREE.PerspectiveCamera(20, 1, 0.01, 10);
  camera.position.set(middle.x, middle.y, middle.z + 1.1);
  camera.lookAt(middle);
  renderer.render(world, camera);
  window.done = { meshes, picture: renderer.domElement.toDataURL() };
} catch (error) {
  window.done = { error: String(error) };
}
</script>`;
const kinds = { '.js': 'text/javascript', '.html': 'text/html' };
const server = createServer((request, response) => {
  const path = new URL(request.url, 'http://localhost').pathname;
  if (path === '/favicon.ico') return response.writeHead(404).end();
  const body = path === '/' ? page_html : path === '/file' ? readFileSync(file) : readFileSync(join(three, path));
  response.writeHead(200, { 'Content-Type': path === '/' ? 'text/html' : kinds[extname(path)] ?? 'application/octet-stream' });
  response.end(body);
}).listen(0, '127.0.0.1', async () => {
  const args = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync',
    '--disable-component-update', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args });
  const page = await browser.newPage({ viewport: { width: 512, height: 512 } });
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.done, null, { timeout: 120000 });
  const { picture, ...done } = await page.evaluate(() => window.done);
  if (picture) writeFileSync(out, Buffer.from(picture.split(',')[1], 'base64'));
  console.log(JSON.stringify(done));
  await browser.close();
  server.close();
});
