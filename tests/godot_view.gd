# What Godot 4 has imported of head.glb: godot --headless --path PROJECT --script godot_view.gd; prints JSON behind "FOUND ".
extends SceneTree

var found := {"meshes": {}, "bones": 0, "animations": []}

func look(node: Node) -> void:
	if node is MeshInstance3D:
		var mesh: Mesh = node.mesh
		var material: BaseMaterial3D = mesh.surface_get_material(0)
		var keys := []
		for number in mesh.get_blend_shape_count():
			keys.append(mesh.get_blend_shape_name(number))
		var rest: PackedVector3Array = mesh.surface_get_arrays(0)[Mesh.ARRAY_VERTEX]
		var moved := 0.0
		if "jawOpen" in keys:
			var open: PackedVector3Array = mesh.surface_get_blend_shape_arrays(0)[keys.find("jawOpen")][Mesh.ARRAY_VERTEX]
			for number in rest.size():
				moved = maxf(moved, open[number].length() if mesh.blend_shape_mode == Mesh.BLEND_SHAPE_MODE_RELATIVE else open[number].distance_to(rest[number]))
		found["meshes"][String(node.name)] = {
			"keys": keys, "jaw_moves": moved, "skinned": node.skin != null, "map": material.albedo_texture != null,
			"normal": material.normal_texture != null, "roughness": material.roughness_texture != null,
			"transparent": material.transparency != BaseMaterial3D.TRANSPARENCY_DISABLED,
			"glows": material.emission_enabled,
		}
	if node is Skeleton3D:
		found["bones"] = node.get_bone_count()
	if node is AnimationPlayer:
		found["animations"] = Array(node.get_animation_list())
	for child in node.get_children():
		look(child)

func _init() -> void:
	var scene: PackedScene = load("res://head.glb")
	look(scene.instantiate())
	print("FOUND ", JSON.stringify(found))
	quit()
