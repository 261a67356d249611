"""The explorer: a page on which a post can be changed while the model answers. Its engine is MGIPS in plain JavaScript, one
function for each equation, in a browser's worker or in node.

    weights.js      model.safetensors to numbers        tokenizer.js    words to pieces
    algebra.js      products, norms, softmax            pictures.js     a picture's crops, as Pillow makes them
    model.js        the equations, §3.1 to §3.5         explorer.js     load, run, pool, gallery
    worker.js       the same behind messages            pack.py         the data that a page needs

    page.js         what is shown, asked and shared     render.js       descriptions to elements, heat maps
    views.js        the whole page                      parts.js        what several views are made of
    post.js         the story, the post, the answers    machine.js      the equations as boxes
    guide.js        five steps                          build.py        a folder, one HTML file, or JupyterLab's module

It reads the files that a saved model has, and computes what PyTorch computes; what it does not compute it refuses by name.
"""
